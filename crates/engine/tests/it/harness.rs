//! Daemons in a simulated world, and what must be true when their work is done.

use std::collections::BTreeMap;
use std::time::Duration;

use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::ids::{DatastoreId, DatastoreVersionId};
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::placement::Placement;
use redtrove_core::plan;
use redtrove_core::slots::divide;
use redtrove_core::topology::Engine as Server;
use redtrove_core::{ClusterId, InstanceId, ProjectId, RequestId, SlotSet, TaskId};
use redtrove_engine::ports::{
    Growth, Joiner, Limits, NewCluster, NewInstance, NewTask, NewVersion, SubmitError, WakeUp,
};
use redtrove_engine::sim::{Chaos, Sim};
use redtrove_engine::submit::{self, Asker};
use redtrove_engine::task::{TaskKind, TaskState};
use redtrove_engine::{Clock, Engine, Options, World};
use tokio_util::sync::CancellationToken;

/// How long a task may take in these worlds.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn options(owner: &str) -> Options {
    Options {
        owner: owner.to_owned(),
        lease: Duration::from_secs(30),
        max_running: 4,
        limits: plan::Limits { guests_ready: Duration::from_secs(120), min_uptime: Duration::ZERO },
        look_within: Duration::from_secs(5),
        sweep_every: Duration::from_secs(2),
        orphans_every: Duration::from_secs(20),
        deleted_machine_grace: Duration::from_secs(10),
        unknown_machine_grace: Some(Duration::from_secs(24 * 60 * 60)),
        heartbeat: Duration::from_secs(10),
    }
}

pub(crate) fn asker() -> Asker {
    Asker {
        project: "p1".parse().unwrap(),
        request: RequestId::new(uuid::Uuid::from_u128(7)),
        traceparent: None,
        time_limit: TIME_LIMIT,
    }
}

pub(crate) fn project() -> ProjectId {
    asker().project
}

/// Runs one case in a runtime of its own, in paused time: the daemons it leaves behind end with it, and do not slow
/// down the cases after it.
pub(crate) fn case<F: Future>(case: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be built").block_on(case)
}

/// A world with a datastore in it.
pub(crate) async fn world(seed: u64) -> Sim {
    let sim = Sim::new(seed);
    let observer = sim.observer();
    let version = NewVersion {
        datastore: "redis".to_owned(),
        datastore_id: DatastoreId(uuid::Uuid::from_u128(1)),
        version: "7.0".to_owned(),
        version_id: DatastoreVersionId(uuid::Uuid::from_u128(2)),
        engine: Server::Redis,
        is_default: true,
        settings: BTreeMap::new(),
    };
    assert!(observer.store.add_version(&version).await.unwrap());
    sim
}

/// Submits a create of `members` members, as the API does.
pub(crate) async fn submit_create(sim: &Sim, members: usize) -> (ClusterId, TaskId) {
    let observer = sim.observer();
    let clock = &observer.clock;
    let slots = divide(members).unwrap();
    let instances = (1..)
        .zip(slots)
        .map(|(number, slots)| NewInstance {
            id: InstanceId(clock.random_id()),
            name: submit::member_name("c", number),
            number,
            flavor_id: "1".to_owned(),
            ram_mb: 512,
            volume_gb: 2,
            placement: Placement::default(),
            planned_slots: Some(slots),
        })
        .collect();
    let new = NewCluster {
        id: ClusterId(clock.random_id()),
        project: project(),
        name: "c".to_owned(),
        version: DatastoreVersionId(uuid::Uuid::from_u128(2)),
        locality: None,
        instances,
        created: observer.store.now().await.unwrap(),
        task: new_task(&**clock, TaskKind::CreateCluster),
        limits: Limits { instances: -1, volumes_gb: -1 },
        answer: None,
    };
    observer.store.create_cluster(&new).await.unwrap();
    (new.id, new.task.id)
}

fn new_task(clock: &dyn Clock, kind: TaskKind) -> NewTask {
    NewTask {
        id: TaskId(clock.ordered_id()),
        kind,
        request: asker().request,
        traceparent: None,
        time_limit: TIME_LIMIT,
        members: Vec::new(),
        verdict_within: None,
    }
}

/// A world with a cluster of `members` members.
pub(crate) async fn formed(seed: u64, members: usize) -> (Sim, ClusterId) {
    let sim = world(seed).await;
    let (cluster, task) = submit_create(&sim, members).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    (sim, cluster)
}

/// Submits a grow by `joiners` members, as the API does.
pub(crate) async fn submit_grow(sim: &Sim, cluster: ClusterId, joiners: usize) -> Result<TaskId, SubmitError> {
    let World { store, clock, .. } = sim.observer();
    let joiner = |_| Joiner {
        id: InstanceId(clock.random_id()),
        flavor_id: "1".to_owned(),
        ram_mb: 512,
        volume_gb: 2,
        placement: Placement::default(),
    };
    let joiners: Vec<Joiner> = (0..joiners).map(joiner).collect();
    let members = joiners.iter().map(|joiner| joiner.id).collect();
    let task = NewTask { members, ..new_task(&*clock, TaskKind::GrowCluster) };
    let id = task.id;
    let limits = Limits { instances: -1, volumes_gb: -1 };
    store.grow_cluster(&Growth { cluster, project: project(), joiners, task, limits, answer: None }).await?;
    Ok(id)
}

/// Submits a shrink, as the API does.
pub(crate) async fn submit_shrink(sim: &Sim, cluster: ClusterId, leavers: &[InstanceId]) -> TaskId {
    let World { store, clock, .. } = sim.observer();
    let task = NewTask {
        members: leavers.to_vec(),
        verdict_within: Some(Duration::from_secs(15)),
        ..new_task(&*clock, TaskKind::ShrinkCluster)
    };
    store.shrink_cluster(&project(), cluster, &task, None).await.unwrap();
    task.id
}

/// The cluster's instances that are not deleted, in member order.
pub(crate) async fn instances(sim: &Sim, id: ClusterId) -> Vec<Instance> {
    cluster(sim, id).await.expect("the cluster is there").1
}

/// Gives all slots of a member to the first one, behind the engine's back.
pub(crate) fn drain(sim: &Sim, members: &[Instance], leaver: InstanceId) {
    let slots = sim.node(leaver).unwrap().slots;
    sim.change_node(leaver, |node| node.slots = SlotSet::empty());
    sim.change_node(members[0].id, |node| node.slots = node.slots.clone().union(&slots));
}

/// Runs a taskmanager's monitor for as long as it takes to pay debts and to look twice.
pub(crate) async fn settle(sim: &Sim) {
    watch(sim, Duration::from_secs(180)).await;
}

/// Runs a taskmanager that takes no tasks for some time.
pub(crate) async fn watch(sim: &Sim, length: Duration) {
    let engine = Engine::new(sim.incarnation(), options("settler"), CancellationToken::new());
    let watched = async { tokio::join!(engine.run_monitor(), engine.run_orphan_sweeper()) };
    let _ = tokio::time::timeout(length, watched).await;
}

/// The cluster is idle and without fault, and so is each of its `members` members; nobody knows anybody else, every
/// slot is owned once, and nothing is left of former members.
pub(crate) async fn assert_whole(sim: &Sim, id: ClusterId, members: usize) {
    let (cluster, instances) = cluster(sim, id).await.expect("the cluster is there");
    assert_eq!((cluster.task, cluster.operation, cluster.fault), (ClusterTask::None, None, None));
    assert_eq!(instances.len(), members);
    let nodes: Vec<_> = instances.iter().map(|i| sim.node(i.id).expect("every member has a node")).collect();
    for (instance, node) in instances.iter().zip(&nodes) {
        assert_eq!((instance.lifecycle, &instance.fault), (Lifecycle::Complete, &None));
        assert_eq!(instance.node_id, Some(node.id));
        assert!(node.complete && node.left.is_none(), "{} is open to tenants", instance.name);
        let others = nodes.iter().filter(|other| other.id != node.id).map(|other| other.id);
        assert!(node.known.keys().copied().eq(sorted(others)), "{} knows the others and nobody else", instance.name);
    }
    assert_eq!(nodes.iter().map(|node| node.slots.count()).sum::<u32>(), 16_384);
    assert_eq!(sim.machines().len(), members, "nothing stands but the members");
    assert_eq!(sim.held_addresses(), []);
    assert_eq!(sim.observer().store.removed_nodes(None).await.unwrap(), []);
    assert_eq!(sim.used(&project()), (members as i64, 2 * members as i64));
}

/// Runs a daemon on the side: one that is dead or frozen is stuck, and ends with its case.
#[expect(clippy::disallowed_methods, reason = "nobody can wait for the dead")]
pub(crate) fn aside<F: Future<Output: Send + 'static> + Send + 'static>(daemon: F) {
    tokio::task::spawn(daemon);
}

/// Submits a delete, as the API does.
pub(crate) async fn submit_delete(sim: &Sim, cluster: ClusterId) -> WakeUp {
    let World { store, clock, .. } = sim.observer();
    let wake = submit::delete(&*store, &*clock, &asker(), cluster).await.unwrap();
    wake.expect("no delete is under way")
}

/// Runs a taskmanager until `task` has ended; one that the chaos kills or freezes is followed by another.
pub(crate) async fn run_until_ended(sim: &Sim, task: TaskId) -> TaskState {
    for start in 0.. {
        let engine = Engine::new(sim.incarnation(), options(&format!("tm-{start}")), CancellationToken::new());
        let watched = async {
            tokio::join!(engine.run_sweeper(), engine.run_orphan_sweeper());
        };
        tokio::select! {
            () = watched => {}
            () = sim.killed() => {
                // A frozen daemon goes on when it wakes; a dead one is stuck for ever. Either way somebody else starts.
                aside(async move { tokio::join!(engine.run_sweeper(), engine.run_orphan_sweeper()) });
            }
            state = ended(sim, task) => return state,
        }
    }
    unreachable!()
}

/// Waits until `task` has ended.
pub(crate) async fn ended(sim: &Sim, task: TaskId) -> TaskState {
    let observer = sim.observer();
    loop {
        let row = observer.store.task(task).await.unwrap().expect("the task has a row");
        if row.state.is_end() {
            return row.state;
        }
        assert!(
            observer.clock.now() < row.deadline.after(Duration::from_secs(300)),
            "task {task} is still {} long after its deadline: {:?} {:?}",
            row.state,
            row.step,
            row.progress
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub(crate) async fn cluster(sim: &Sim, id: ClusterId) -> Option<(Cluster, Vec<Instance>)> {
    sim.observer().store.cluster(id).await.unwrap()
}

/// A cluster that was made: as the plan says, in the database and on every node.
pub(crate) async fn assert_formed(sim: &Sim, id: ClusterId, members: usize) {
    let (cluster, instances) = cluster(sim, id).await.expect("the cluster is there");
    assert_eq!((cluster.task, cluster.operation, cluster.fault), (ClusterTask::None, None, None));
    assert_eq!(instances.len(), members);
    let slots = divide(members).unwrap();
    let nodes: Vec<_> = instances.iter().map(|i| sim.node(i.id).expect("every member has a node")).collect();
    for ((instance, node), slots) in instances.iter().zip(&nodes).zip(slots) {
        assert_eq!((instance.lifecycle, &instance.fault), (Lifecycle::Complete, &None));
        assert_eq!(instance.node_id, Some(node.id));
        assert_eq!(node.slots, SlotSet::from(slots));
        assert!(node.complete, "{} is open to tenants", instance.name);
        let others = nodes.iter().filter(|other| other.id != node.id).map(|other| other.id);
        assert!(node.known.keys().copied().eq(sorted(others)), "{} knows the others and nobody else", instance.name);
    }
    assert!(instances.iter().all(|instance| sim.machines().contains(&instance.id)));
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items.into_iter()
}

/// A create that failed: the cluster is idle and says why, and so does every member that is not complete.
pub(crate) async fn assert_failed(sim: &Sim, id: ClusterId) {
    let (cluster, instances) = cluster(sim, id).await.expect("the cluster is there");
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::None, None));
    assert!(cluster.fault.is_some(), "the cluster says why");
    for instance in instances {
        assert_eq!(instance.fault.is_some(), instance.lifecycle != Lifecycle::Complete, "{}", instance.name);
    }
}

/// Nothing is left of the cluster: no row to be seen, no machine, no quota in use.
pub(crate) async fn assert_gone(sim: &Sim, id: ClusterId) {
    assert!(cluster(sim, id).await.is_none());
    assert_eq!((sim.machines(), sim.held_addresses()), (vec![], vec![]));
    assert_eq!(sim.used(&project()), (0, 0));
}

/// From whatever state, a delete works once the world is calm again.
pub(crate) async fn delete_in_calm(sim: &Sim, id: ClusterId) {
    sim.set_chaos(Chaos::Calm);
    let wake = submit_delete(sim, id).await;
    assert_eq!(run_until_ended(sim, wake.task).await, TaskState::Succeeded);
    sweep_orphans(sim).await;
    assert_gone(sim, id).await;
}

/// Gives runners that lost their lease time to notice, and the orphan sweeper time to clean up after them.
pub(crate) async fn sweep_orphans(sim: &Sim) {
    let engine = Engine::new(sim.incarnation(), options("sweeper"), CancellationToken::new());
    let _ = tokio::time::timeout(Duration::from_secs(65), engine.run_orphan_sweeper()).await;
}
