//! The doctor: what it finds in a world that something is wrong with, and that putting it right is safe beside whoever
//! is at work.

use std::time::Duration;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::{ClusterId, InstanceId, TaskId};
use redtrove_engine::doctor::{DoctorError, Finding, Graces, examine, mend};
use redtrove_engine::ports::{InstanceSpec, OpenTask};
use redtrove_engine::sim::{Chaos, Sim, Trouble};
use redtrove_engine::task::{Task, TaskState};
use redtrove_engine::{Engine, World};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
const GRACES: Graces = Graces {
    lease: Duration::from_secs(30),
    deleted_machine: Duration::from_secs(10),
    unknown_machine: Some(Duration::from_secs(60)),
};
/// More than the doctor gives a task to end after its deadline.
const OVERDUE: Duration = TIME_LIMIT.saturating_add(Duration::from_secs(90));

async fn found(sim: &Sim) -> Vec<Finding> {
    examine(&sim.observer(), GRACES).await.unwrap()
}

fn kinds(findings: &[Finding]) -> Vec<(&'static str, bool)> {
    findings.iter().map(|finding| (finding.kind, finding.can_be_mended())).collect()
}

/// The only finding, of this kind, which can be put right.
async fn only(sim: &Sim, kind: &'static str) -> Finding {
    let mut found = found(sim).await;
    assert_eq!(kinds(&found), [(kind, true)], "{found:#?}");
    found.remove(0)
}

async fn is_mended(sim: &Sim, finding: &Finding) -> bool {
    mend(&sim.observer(), finding).await.unwrap()
}

/// The provider does not remove the machine: who asked hears of it.
async fn assert_refused(sim: &Sim, finding: &Finding) {
    sim.set_chaos(Chaos::FailForGood("destroy", Trouble::Transient));
    let refused = mend(&sim.incarnation(), finding).await.unwrap_err();
    assert!(matches!(refused, DoctorError::Remove(_)), "who asked hears why: {refused}");
    sim.set_chaos(Chaos::Calm);
}

fn machine_of(instance: InstanceId, cluster: ClusterId) -> InstanceSpec {
    InstanceSpec {
        id: instance,
        cluster,
        name: "again".to_owned(),
        flavor_id: "1".to_owned(),
        volume_gb: 2,
        engine: redtrove_core::topology::Engine::Redis,
    }
}

/// A member that owns nothing any more.
async fn drained(sim: &Sim, id: ClusterId) -> Instance {
    let mut members = instances(sim, id).await;
    drain(sim, &members, members[1].id);
    members.remove(1)
}

async fn row(sim: &Sim, task: TaskId) -> Task {
    sim.observer().store.task(task).await.unwrap().unwrap()
}

async fn open_tasks(sim: &Sim) -> Vec<OpenTask> {
    sim.observer().store.open_tasks().await.unwrap()
}

/// The task has failed for good, and its cluster is free and says why.
async fn assert_ended(sim: &Sim, id: ClusterId, task: TaskId) {
    let ended = row(sim, task).await;
    assert_eq!((ended.state, ended.lease_owner), (TaskState::Failed, None));
    let (cluster, members) = cluster(sim, id).await.unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::None, None));
    assert!(cluster.fault.is_some_and(|fault| fault.contains("600 s")));
    assert!(members.iter().all(|member| member.fault.is_some()), "so do its members");
    assert_eq!(kinds(&found(sim).await), []);
}

#[tokio::test(start_paused = true)]
async fn a_sound_world_has_nothing_and_a_machine_that_nobody_knows_goes_when_its_time_is_over() {
    let (sim, _) = formed(7, 3).await;
    assert_eq!(found(&sim).await, []);
    let World { compute, store, .. } = sim.observer();
    let astray = InstanceId(uuid::Uuid::from_u128(42));
    compute.ensure(&machine_of(astray, ClusterId(uuid::Uuid::from_u128(43)))).await.unwrap();
    assert_eq!(kinds(&found(&sim).await), [("unknown_machine", false)]);
    store.put_orphans(&[astray].into()).await.unwrap();
    sleep(Duration::from_secs(61)).await;
    let unknown = only(&sim, "unknown_machine").await;
    assert_refused(&sim, &unknown).await;
    assert!(is_mended(&sim, &unknown).await, "its time is over");
    assert_eq!(found(&sim).await, []);
}

#[tokio::test(start_paused = true)]
async fn an_overdue_task_that_nobody_has_is_ended() {
    let sim = world(1).await;
    let (id, task) = submit_create(&sim, 3).await;
    sleep(OVERDUE).await;
    let overdue = only(&sim, "task_overdue").await;
    assert_eq!((overdue.cluster, overdue.task), (Some(id), Some(task)));
    assert!(is_mended(&sim, &overdue).await);
    assert_ended(&sim, id, task).await;
    assert!(!is_mended(&sim, &overdue).await, "it has ended");
    delete_in_calm(&sim, id).await;
}

#[tokio::test(start_paused = true)]
async fn an_overdue_task_is_left_to_the_runner_that_has_it() {
    let sim = world(2).await;
    let (id, task) = submit_create(&sim, 3).await;
    // Stuck in a step, and alive: it renews its lease.
    sim.set_chaos(Chaos::Late("prepare", A_DAY));
    let shutdown = CancellationToken::new();
    let engine = Engine::new(sim.incarnation(), options("stuck"), shutdown.clone());
    engine.offer(task).await.unwrap();
    sleep(OVERDUE).await;
    let before = (row(&sim, task).await, cluster(&sim, id).await);
    let overdue = only(&sim, "task_overdue").await;
    assert!(!is_mended(&sim, &overdue).await, "somebody has it");
    assert_eq!((row(&sim, task).await, cluster(&sim, id).await), before, "nothing is written");
    assert_eq!(engine.running(), 1);
    sleep(options("").lease * 2).await;
    assert_eq!(engine.running(), 1, "its lease is what it was");
    assert_eq!(open_tasks(&sim).await[0].task.lease_owner.as_deref(), Some("stuck"));

    // Once it has given the task back, nobody has it.
    shutdown.cancel();
    engine.drained().await;
    assert!(is_mended(&sim, &overdue).await);
    assert_ended(&sim, id, task).await;
    delete_in_calm(&sim, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_slept_while_its_task_was_ended_changes_nothing() {
    // Paused at each of these calls: in the middle of looks, steps, records.
    for call in (4..30).step_by(2) {
        let sim = world(3).await;
        let (id, task) = submit_create(&sim, 3).await;
        let asleep = OVERDUE + Duration::from_secs(60);
        sim.set_chaos(Chaos::Freeze(call, asleep));
        let engine = Engine::new(sim.incarnation(), options("sleeper"), CancellationToken::new());
        engine.offer(task).await.unwrap();
        let caught = tokio::time::timeout(Duration::from_secs(60), sim.killed()).await;
        assert!(caught.is_ok(), "no call {call} was made");
        sleep(OVERDUE).await;
        let overdue = only(&sim, "task_overdue").await;
        assert!(is_mended(&sim, &overdue).await, "its lease has run out");
        assert_ended(&sim, id, task).await;

        let before = (row(&sim, task).await, cluster(&sim, id).await);
        sleep(Duration::from_secs(120)).await;
        assert_eq!((row(&sim, task).await, cluster(&sim, id).await), before, "call {call}: it woke up and wrote");
        assert_eq!(engine.running(), 0, "it has noticed");
        delete_in_calm(&sim, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_machine_of_a_deleted_instance_is_removed_when_no_sweeper_did() {
    let (sim, id) = formed(4, 2).await;
    let members = instances(&sim, id).await;
    let wake = submit_delete(&sim, id).await;
    run_until_ended(&sim, wake.task).await;
    let World { compute, store, .. } = sim.observer();
    let again = members[0].id;
    compute.ensure(&machine_of(again, id)).await.unwrap();
    assert_eq!(found(&sim).await, [], "a sweeper will see it");
    store.put_orphans(&[again].into()).await.unwrap();
    sleep(Duration::from_secs(131)).await;
    let left = only(&sim, "deleted_machine").await;
    assert_eq!(left.instance, Some(again));
    assert_refused(&sim, &left).await;
    assert_eq!(sim.machines(), [again]);
    assert!(is_mended(&sim, &left).await);
    assert_eq!((sim.machines(), found(&sim).await), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_held_address_of_a_removed_node_is_no_machine_to_remove() {
    let (sim, id) = formed(5, 3).await;
    let leaver = drained(&sim, id).await;
    let task = submit_shrink(&sim, id, &[leaver.id]).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    sim.observer().store.put_orphans(&[leaver.id].into()).await.unwrap();
    sleep(Duration::from_secs(131)).await;
    assert_eq!((sim.held_addresses(), found(&sim).await), (vec![leaver.id], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_instance_left_behind_by_its_cluster_is_buried() {
    let (sim, id) = formed(6, 2).await;
    let left = instances(&sim, id).await.remove(0);
    let wake = submit_delete(&sim, id).await;
    run_until_ended(&sim, wake.task).await;
    sim.observer().compute.ensure(&machine_of(left.id, id)).await.unwrap();
    sim.change_instance(left.id, |row| row.lifecycle = Lifecycle::Complete);
    let findings = found(&sim).await;
    assert_eq!(kinds(&findings), [("instance_left_behind", true), ("usage", true), ("usage", true)]);
    assert_refused(&sim, &findings[0]).await;
    let rows = sim.observer().store.left_behind().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [left.id], "its machine is there, and so is its row");
    for finding in &findings {
        assert!(is_mended(&sim, finding).await, "{finding:?}");
    }
    assert!(!is_mended(&sim, &findings[0]).await, "it is buried");
    assert_eq!(found(&sim).await, []);
    assert_gone(&sim, id).await;
}

#[tokio::test(start_paused = true)]
async fn a_debt_of_somebody_gone_is_taken_back_and_the_address_becomes_free() {
    let (sim, id) = formed(8, 4).await;
    let mut gone = Vec::new();
    for _ in 0..2 {
        let leaver = drained(&sim, id).await;
        let task = submit_shrink(&sim, id, &[leaver.id]).await;
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
        gone.push(leaver);
    }
    let [creditor, debtor] = &gone[..] else { panic!("two have left") };
    let node = creditor.node_id.unwrap();
    sim.change_instance(debtor.id, |row| row.lifecycle = Lifecycle::Complete);
    sim.observer().store.owe_again(node, &[debtor.id]).await.unwrap();
    sim.change_instance(debtor.id, |row| row.lifecycle = Lifecycle::Deleted);
    settle(&sim).await;
    assert_eq!(sim.held_addresses(), [creditor.id], "nobody can pay");

    let debt = only(&sim, "debt_of_nobody").await;
    assert_eq!((debt.cluster, debt.instance), (Some(id), Some(debtor.id)));
    assert!(is_mended(&sim, &debt).await);
    assert_eq!(found(&sim).await, []);
    settle(&sim).await;
    assert_whole(&sim, id, 2).await;
}
