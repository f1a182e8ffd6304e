//! Submissions of shrinks, and the verdicts on them.

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, Fault, InstanceId};
use redtrove_engine::ports::{Change, Ending, Lease, NewCluster, NewTask, Outcome, StoreError, SubmitError};
use redtrove_engine::task::{TaskKind, TaskState, Verdict};
use tokio::task::JoinSet;

use super::{Bed, LONG, changed, failure, success};

fn refusal() -> Ending {
    Ending { outcome: Outcome::Refused(Fault::internal("It owns slots.")), ..success() }
}

fn ids(new: &NewCluster) -> Vec<InstanceId> {
    new.instances.iter().map(|instance| instance.id).collect()
}

impl Bed {
    /// Submits a shrink by the first member whose asker waits for the verdict, and claims it.
    async fn awaited(&self, new: &NewCluster) -> Lease {
        let task = NewTask { verdict_within: Some(LONG), ..self.new_shrink(&ids(new)[..1]) };
        self.store.shrink_cluster(&self.project(), new.id, &task, None).await.unwrap();
        self.claimed(task.id).await.lease
    }

    async fn fault(&self, cluster: ClusterId) -> Option<String> {
        let (cluster, _) = self.store.cluster(cluster).await.unwrap().unwrap();
        assert_eq!((cluster.task, cluster.operation), (ClusterTask::None, None));
        cluster.fault
    }

    async fn verdict(&self, lease: &Lease) -> Option<Verdict> {
        self.store.task(lease.task).await.unwrap().unwrap().verdict
    }
}

pub(super) async fn a_shrink_reads_back_as_asked_for(bed: Bed) {
    let new = bed.ready(3).await;
    let (_, before) = bed.store.cluster(new.id).await.unwrap().unwrap();
    let leavers = [new.instances[2].id, new.instances[0].id];
    let task = NewTask { verdict_within: Some(LONG), ..bed.new_shrink(&leavers) };
    bed.store.shrink_cluster(&bed.project(), new.id, &task, None).await.unwrap();
    let (cluster, instances) = bed.second.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::ShrinkingCluster, Some(task.id)));
    assert_eq!(instances, before, "what is asked for is not done yet");
    let kept = bed.second.task(task.id).await.unwrap().unwrap();
    assert_eq!((kept.cluster, kept.kind, kept.state), (new.id, TaskKind::ShrinkCluster, TaskState::Pending));
    assert_eq!((kept.members.as_slice(), kept.verdict), (&leavers[..], None));
    assert_eq!((kept.request, kept.deadline), (task.request, kept.created.after(LONG)));
    assert_eq!(bed.claimed(task.id).await.task.members, leavers);
    assert!(bed.store.task(new.task.id).await.unwrap().unwrap().members.is_empty(), "a build is about all");
    assert_eq!(bed.store.tasks(Some(new.id), 1).await.unwrap()[0].members, leavers);
}

pub(super) async fn only_members_that_are_there_leave(bed: Bed) {
    let (new, other) = (bed.ready(4).await, bed.ready(2).await);
    let here = ids(&new);
    let gone = here[3];
    let lease = bed.shrinking(new.id, &[gone]).await;
    bed.changed(&lease, &[Change::Left { instance: gone }, Change::Gone { instance: gone }]).await;
    bed.store.finish(&lease, &success()).await.unwrap();
    let before = bed.store.cluster(new.id).await.unwrap().unwrap();

    let (unknown, foreign) = (InstanceId(bed.scattered()), other.instances[0].id);
    for (members, missing) in [
        (vec![unknown], unknown),
        (vec![here[0], foreign, unknown], foreign),
        (vec![here[0], here[1], gone], gone),
        (vec![here[0], here[1], here[2], unknown], unknown),
    ] {
        let task = bed.new_shrink(&members);
        let error = bed.store.shrink_cluster(&bed.project(), new.id, &task, None).await.unwrap_err();
        assert!(matches!(error, SubmitError::NoInstance(id) if id == missing), "{error}");
        assert!(bed.store.task(task.id).await.unwrap().is_none());
        assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap(), before);
    }
    bed.shrinking(new.id, &here[..2]).await;
}

pub(super) async fn one_member_stays(bed: Bed) {
    let new = bed.ready(3).await;
    let [a, b, c] = ids(&new).try_into().unwrap();
    for members in [vec![a, b, c], vec![a, b, a, c, c]] {
        let task = bed.new_shrink(&members);
        let error = bed.store.shrink_cluster(&bed.project(), new.id, &task, None).await.unwrap_err();
        assert!(matches!(error, SubmitError::LeavesNothing), "{error}");
        assert!(bed.store.task(task.id).await.unwrap().is_none());
    }
    let lease = bed.shrinking(new.id, &[a, a, a, b]).await;
    bed.store.finish(&lease, &success()).await.unwrap();
    let alone = bed.ready(1).await;
    let task = bed.new_shrink(&ids(&alone));
    let error = bed.store.shrink_cluster(&bed.project(), alone.id, &task, None).await.unwrap_err();
    assert!(matches!(error, SubmitError::LeavesNothing), "{error}");
    assert_eq!(bed.fault(alone.id).await, None);
}

pub(super) async fn only_a_free_cluster_of_the_project_shrinks(bed: Bed) {
    let new = bed.created(2).await;
    let (project, everybody) = (bed.project(), ids(&new));
    let task = bed.new_shrink(&everybody);
    let error = bed.store.shrink_cluster(&project, new.id, &task, None).await.unwrap_err();
    assert!(matches!(error, SubmitError::Busy(ClusterTask::Building)), "it is busy before it is too small: {error}");
    for (project, cluster) in [("project-b", new.id), ("project-A", new.id), ("project-a", ClusterId(bed.scattered()))]
    {
        let error = bed.store.shrink_cluster(&project.parse().unwrap(), cluster, &task, None).await.unwrap_err();
        assert!(matches!(error, SubmitError::NotFound), "{error}");
    }
    let build = bed.claimed(new.task.id).await.lease;
    bed.store.finish(&build, &success()).await.unwrap();

    let mut race = JoinSet::new();
    for runner in 0..10 {
        let (task, growth, project) = (bed.new_shrink(&everybody[..1]), bed.growth(new.id, 1), bed.project());
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move {
            match runner % 4 {
                0 | 1 => store.shrink_cluster(&project, new.id, &task, None).await,
                _ => store.grow_cluster(&growth).await.map(drop),
            }
        });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let busy = bed.store.cluster(new.id).await.unwrap().unwrap().0.task;
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, SubmitError::Busy(task) if task == busy), "{error}");
    }
}

pub(super) async fn what_is_accepted_is_kept(bed: Bed) {
    let new = bed.ready(2).await;
    let lease = bed.awaited(&new).await;
    bed.store.renew(&lease, std::time::Duration::ZERO).await.unwrap();
    let next = bed.claimed(lease.task).await.lease;
    let accepted = changed(&[Change::Accepted]);
    assert!(matches!(bed.store.record(&lease, &accepted).await, Err(StoreError::LeaseLost)));
    assert_eq!(bed.verdict(&lease).await, None);
    bed.store.record(&next, &accepted).await.unwrap();
    bed.store.record(&next, &accepted).await.unwrap();
    let task = bed.second.task(lease.task).await.unwrap().unwrap();
    assert_eq!((task.verdict, task.state), (Some(Verdict::Accepted), TaskState::Running));
    bed.store.finish(&next, &success()).await.unwrap();
    assert_eq!(bed.verdict(&lease).await, Some(Verdict::Accepted));
    assert_eq!(bed.fault(new.id).await, None);
}

pub(super) async fn a_refusal_that_is_awaited_leaves_no_fault(bed: Bed) {
    let new = bed.created(2).await;
    let build = bed.claimed(new.task.id).await.lease;
    let complete = ids(&new).into_iter().map(|id| (id, Lifecycle::Complete)).collect();
    bed.store.finish(&build, &Ending { lifecycles: complete, ..failure("An older reason.") }).await.unwrap();
    let (_, before) = bed.store.cluster(new.id).await.unwrap().unwrap();
    let lease = bed.awaited(&new).await;
    bed.store.finish(&lease, &refusal()).await.unwrap();
    assert_eq!(bed.fault(new.id).await.as_deref(), Some("An older reason."), "as it was");
    let task = bed.second.task(lease.task).await.unwrap().unwrap();
    assert_eq!((task.state, task.verdict), (TaskState::Failed, Some(Verdict::Refused)));
    assert_eq!((task.fault.as_deref(), task.lease_owner), (Some("It owns slots."), None));
    assert!(task.ended.is_some());
    assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap().1, before, "no member is at fault");
    let again = bed.awaited(&new).await;
    bed.store.finish(&again, &success()).await.unwrap();
    assert_eq!(bed.fault(new.id).await, None);
}

pub(super) async fn a_refusal_that_nobody_awaits_leaves_its_fault(bed: Bed) {
    let new = bed.ready(2).await;
    let never_awaited = bed.shrinking(new.id, &ids(&new)[..1]).await;
    bed.store.finish(&never_awaited, &refusal()).await.unwrap();
    assert_eq!(bed.fault(new.id).await.as_deref(), Some("It owns slots."));
    assert_eq!(bed.verdict(&never_awaited).await, Some(Verdict::Refused));

    let new = bed.ready(2).await;
    let waived = bed.awaited(&new).await;
    assert_eq!(bed.second.waive_verdict(waived.task).await.unwrap(), None);
    bed.store.finish(&waived, &refusal()).await.unwrap();
    assert_eq!(bed.fault(new.id).await.as_deref(), Some("It owns slots."));
    assert_eq!(bed.verdict(&waived).await, Some(Verdict::Refused));

    let new = bed.ready(2).await;
    let told = bed.awaited(&new).await;
    bed.changed(&told, &[Change::Accepted]).await;
    bed.store.finish(&told, &refusal()).await.unwrap();
    assert_eq!(bed.fault(new.id).await.as_deref(), Some("It owns slots."), "whoever asked was told otherwise");
}

pub(super) async fn a_verdict_is_waived_only_until_it_is_given(bed: Bed) {
    let new = bed.ready(2).await;
    let lease = bed.awaited(&new).await;
    bed.changed(&lease, &[Change::Accepted]).await;
    assert_eq!(bed.store.waive_verdict(lease.task).await.unwrap(), Some(Verdict::Accepted));
    bed.store.finish(&lease, &success()).await.unwrap();
    assert_eq!(bed.store.waive_verdict(lease.task).await.unwrap(), Some(Verdict::Accepted));

    let refused = bed.awaited(&new).await;
    bed.store.finish(&refused, &refusal()).await.unwrap();
    assert_eq!(bed.store.waive_verdict(refused.task).await.unwrap(), Some(Verdict::Refused));
    assert_eq!(bed.fault(new.id).await, None, "they were told in time");

    let failed = bed.awaited(&new).await;
    bed.store.finish(&failed, &failure("No member answered.")).await.unwrap();
    assert_eq!(bed.store.waive_verdict(failed.task).await.unwrap(), None, "it ended without one");
    assert_eq!(bed.fault(new.id).await.as_deref(), Some("No member answered."));
    assert_eq!(bed.store.waive_verdict(bed.new_task(TaskKind::ShrinkCluster).id).await.unwrap(), None);
}

pub(super) async fn a_refusal_is_told_once_or_shown(bed: Bed) {
    for round in 0..12 {
        let new = bed.ready(2).await;
        let lease = bed.awaited(&new).await;
        let (store, refused) = (bed.store.clone(), lease.clone());
        let mut refusing = JoinSet::new();
        refusing.spawn(async move { store.finish(&refused, &refusal()).await.unwrap() });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let verdict = bed.second.waive_verdict(lease.task).await.unwrap();
        refusing.join_all().await;
        match verdict {
            Some(verdict) => assert_eq!((verdict, bed.fault(new.id).await), (Verdict::Refused, None)),
            None => assert_eq!(bed.fault(new.id).await.as_deref(), Some("It owns slots.")),
        }
    }
}
