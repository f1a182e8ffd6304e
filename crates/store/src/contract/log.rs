//! The step log, and the ends of tasks.

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{Fault, Timestamp};
use redtrove_engine::ports::{BegunStep, Change, EndedStep, Ending, Limits, Outcome, Record, StoreError};
use redtrove_engine::task::{StepOutcome, StepRecord, TaskState};

use super::{Bed, LONG, node_id, success};

fn begun(seq: u64, name: &'static str) -> BegunStep {
    BegunStep { seq, name, subject: None, at: Timestamp(1_000) }
}

fn ended(seq: u64, outcome: StepOutcome, error: Option<&str>) -> EndedStep {
    EndedStep { seq, outcome, error: error.map(str::to_owned), at: Timestamp(2_000) }
}

pub(super) async fn a_record_keeps_all_that_belongs_to_it(bed: Bed) {
    let new = bed.created(2).await;
    let lease = bed.claimed(new.task.id).await.lease;
    let (first, second) = (new.instances[0].id, new.instances[1].id);
    let create = BegunStep { subject: Some(first), ..begun(1, "create_machine") };
    let progress = Some(("create_machine", "1 of 2 machines".to_owned()));
    let record = Record { begun: vec![create, begun(2, "wait")], progress, ..Record::default() };
    bed.store.record(&lease, &record).await.unwrap();
    let changes = vec![
        Change::Address { instance: first, ip: "127.20.0.2".to_owned() },
        Change::Node { instance: second, node: node_id(7) },
    ];
    let done = vec![ended(1, StepOutcome::Done, None), ended(2, StepOutcome::Retry, Some("not yet"))];
    let record = Record { ended: done, changes, begun: vec![begun(3, "form")], progress: None };
    bed.store.record(&lease, &record).await.unwrap();

    let step = |seq, name: &str, subject, outcome, error: Option<&str>| StepRecord {
        seq,
        name: name.to_owned(),
        subject,
        outcome,
        error: error.map(str::to_owned),
        started: Timestamp(1_000),
        ended: outcome.map(|_| Timestamp(2_000)),
    };
    let wanted = [
        step(1, "create_machine", Some(first), Some(StepOutcome::Done), None),
        step(2, "wait", None, Some(StepOutcome::Retry), Some("not yet")),
        step(3, "form", None, None, None),
    ];
    assert_eq!(bed.second.steps(new.task.id).await.unwrap(), wanted);
    let task = bed.store.task(new.task.id).await.unwrap().unwrap();
    assert_eq!(task.step.as_deref(), Some("create_machine"), "no news leaves the progress as it is");
    assert_eq!(task.progress.as_deref(), Some("1 of 2 machines"));
    let (_, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((instances[0].ip.as_deref(), instances[0].node_id), (Some("127.20.0.2"), None));
    assert_eq!((instances[1].ip.as_deref(), instances[1].node_id), (None, Some(node_id(7))));
    assert!(bed.store.steps(bed.created(1).await.task.id).await.unwrap().is_empty());
}

pub(super) async fn a_record_that_comes_again_changes_nothing(bed: Bed) {
    let new = bed.created(1).await;
    let lease = bed.claimed(new.task.id).await.lease;
    let record = Record { begun: vec![begun(1, "wait")], ..Record::default() };
    bed.store.record(&lease, &record).await.unwrap();
    let end = Record { ended: vec![ended(1, StepOutcome::Done, None)], ..Record::default() };
    bed.store.record(&lease, &end).await.unwrap();
    let before = bed.store.steps(new.task.id).await.unwrap();
    bed.store.record(&lease, &record).await.unwrap();
    let late = Record { ended: vec![ended(1, StepOutcome::Failed, Some("late"))], ..Record::default() };
    bed.store.record(&lease, &late).await.unwrap();
    assert_eq!(bed.store.steps(new.task.id).await.unwrap(), before);
}

pub(super) async fn a_lost_lease_writes_nothing(bed: Bed) {
    let new = bed.created(1).await;
    let lease = bed.store.claim(new.task.id, "tm-1", std::time::Duration::ZERO).await.unwrap().unwrap().lease;
    bed.second.claim(new.task.id, "tm-2", LONG).await.unwrap().unwrap();
    let instance = new.instances[0].id;
    let record = Record {
        ended: Vec::new(),
        changes: vec![Change::Node { instance, node: node_id(1) }, Change::Gone { instance }],
        begun: vec![begun(1, "wait")],
        progress: Some(("wait", "waiting".to_owned())),
    };
    assert!(matches!(bed.store.record(&lease, &record).await, Err(StoreError::LeaseLost)));
    let deleted = Ending { cluster_deleted: true, ..success() };
    assert!(matches!(bed.store.finish(&lease, &deleted).await, Err(StoreError::LeaseLost)));
    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, instances.len(), instances[0].node_id), (ClusterTask::Building, 1, None));
    assert!(bed.store.steps(new.task.id).await.unwrap().is_empty());
    assert!(bed.store.task(new.task.id).await.unwrap().unwrap().step.is_none());
    assert!(!bed.fits(1, Limits { instances: 1, volumes_gb: -1 }).await, "its quota is still taken");
}

pub(super) async fn a_success_clears_the_fault(bed: Bed) {
    let new = bed.created(2).await;
    let build = bed.claimed(new.task.id).await.lease;
    let failure = Ending { outcome: Outcome::Failed(Fault::internal("No more machines.")), ..success() };
    bed.store.finish(&build, &failure).await.unwrap();
    assert!(bed.store.cluster(new.id).await.unwrap().unwrap().0.fault.is_some());
    let lease = bed.deleting(new.id).await.lease;
    bed.store.finish(&lease, &success()).await.unwrap();
    let (cluster, _) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation, cluster.fault), (ClusterTask::None, None, None));
    let task = bed.store.task(lease.task).await.unwrap().unwrap();
    assert_eq!((task.state, task.fault, task.lease_owner), (TaskState::Succeeded, None, None));
    assert!(task.ended >= task.started && task.ended.is_some());
}

pub(super) async fn a_failure_is_kept_where_it_belongs(bed: Bed) {
    let new = bed.created(3).await;
    let lease = bed.claimed(new.task.id).await.lease;
    let record = Record { begun: vec![begun(1, "wait"), begun(2, "form")], ..Record::default() };
    bed.store.record(&lease, &record).await.unwrap();
    let ending = Ending {
        outcome: Outcome::Failed(Fault::internal("Member 2 never came up.")),
        faults: vec![(new.instances[1].id, "never came up".to_owned())],
        ended: vec![ended(1, StepOutcome::Failed, Some("too late"))],
        ..success()
    };
    bed.store.finish(&lease, &ending).await.unwrap();
    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::None, None));
    assert_eq!(cluster.fault.as_deref(), Some("Member 2 never came up."));
    let faults: Vec<_> = instances.iter().map(|instance| instance.fault.as_deref()).collect();
    assert_eq!(faults, [None, Some("never came up"), None]);
    let task = bed.store.task(new.task.id).await.unwrap().unwrap();
    assert_eq!((task.state, task.fault.as_deref()), (TaskState::Failed, Some("Member 2 never came up.")));
    let steps = bed.store.steps(new.task.id).await.unwrap();
    assert_eq!((steps[0].outcome, steps[0].error.as_deref()), (Some(StepOutcome::Failed), Some("too late")));
    assert_eq!(steps[1].outcome, None);
    assert!(matches!(bed.store.finish(&lease, &success()).await, Err(StoreError::LeaseLost)), "it ends once");
}

pub(super) async fn a_life_never_goes_back(bed: Bed) {
    let new = bed.ready(2).await;
    let (_, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Complete));
    let lease = bed.deleting(new.id).await.lease;
    let back = vec![(new.instances[0].id, Lifecycle::Complete), (new.instances[1].id, Lifecycle::Building)];
    bed.store.finish(&lease, &Ending { lifecycles: back, ..success() }).await.unwrap();
    let (_, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Deleting));
}

pub(super) async fn long_texts_keep_their_beginning(bed: Bed) {
    let new = bed.created(1).await;
    let lease = bed.claimed(new.task.id).await.lease;
    let long = format!("x{}", "🦀".repeat(100_000));
    let record = Record { begun: vec![begun(1, "wait")], progress: Some(("wait", long.clone())), ..Record::default() };
    bed.store.record(&lease, &record).await.unwrap();
    let ending = Ending {
        outcome: Outcome::Failed(Fault::internal(long.clone())),
        faults: vec![(new.instances[0].id, long.clone())],
        ended: vec![ended(1, StepOutcome::Failed, Some(&long))],
        ..success()
    };
    bed.store.finish(&lease, &ending).await.unwrap();
    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    let task = bed.store.task(new.task.id).await.unwrap().unwrap();
    let steps = bed.store.steps(new.task.id).await.unwrap();
    for kept in [&cluster.fault, &instances[0].fault, &task.fault, &task.progress, &steps[0].error] {
        let kept = kept.as_deref().unwrap();
        assert!(kept.len() > 1_000 && long.starts_with(kept));
    }
}

pub(super) async fn an_instance_gone_frees_its_quota_once(bed: Bed) {
    let new = bed.ready(3).await;
    let limits = Limits { instances: 3, volumes_gb: 6 };
    let lease = bed.deleting(new.id).await.lease;
    assert!(!bed.fits(1, limits).await);
    let gone = |number: usize| Change::Gone { instance: new.instances[number].id };
    let record = Record { changes: vec![gone(0), gone(0)], ..Record::default() };
    bed.store.record(&lease, &record).await.unwrap();
    bed.store.record(&lease, &record).await.unwrap();
    let (_, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(instances.iter().map(|instance| instance.number).collect::<Vec<_>>(), [2, 3]);
    assert!(!bed.fits(2, limits).await);
    assert!(bed.fits(1, limits).await, "one is free");
    bed.store.record(&lease, &Record { changes: vec![gone(1)], ..Record::default() }).await.unwrap();
    let last = vec![(new.instances[2].id, Lifecycle::Deleted), (new.instances[1].id, Lifecycle::Deleted)];
    let ending = Ending { cluster_deleted: true, lifecycles: last, ..success() };
    bed.store.finish(&lease, &ending).await.unwrap();
    assert!(!bed.fits(3, limits).await);
    assert!(bed.fits(2, limits).await, "all three are free, one was taken since");
}

pub(super) async fn a_deleted_cluster_is_never_shown_again(bed: Bed) {
    let new = bed.ready(2).await;
    let other = bed.ready(1).await;
    let lease = bed.deleting(new.id).await.lease;
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    assert!(bed.store.cluster(new.id).await.unwrap().is_none());
    let shown: Vec<_> = bed.store.clusters(&bed.project(), None, 10).await.unwrap();
    assert_eq!(shown.iter().map(|(cluster, _)| cluster.id).collect::<Vec<_>>(), [other.id]);
    let tasks: Vec<_> = bed.store.tasks(Some(new.id), 10).await.unwrap().into_iter().map(|task| task.id).collect();
    assert_eq!(tasks, [lease.task, new.task.id], "its tasks stay for the operator");
    assert!(bed.store.version(bed.version).await.unwrap().is_some());
    assert!(bed.fits(2, Limits { instances: 3, volumes_gb: 6 }).await, "what was left of it is free");
}
