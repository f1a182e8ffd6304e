//! Submissions of growths.

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::request::MOST_MEMBERS;
use redtrove_core::{ClusterId, ProjectId};
use redtrove_engine::ports::{Change, Ending, Growth, Limits, SubmitError};
use redtrove_engine::task::{TaskKind, TaskState};
use tokio::task::JoinSet;

use super::{Bed, LONG, failure, success};

pub(super) async fn a_growth_reads_back_as_asked_for(bed: Bed) {
    let new = bed.created(3).await;
    let build = bed.claimed(new.task.id).await.lease;
    bed.store.finish(&build, &failure("No more machines.")).await.unwrap();
    let growth = bed.growth(new.id, 2);
    let (grown, joiners) = bed.store.grow_cluster(&growth).await.unwrap();

    let (cluster, instances) = bed.second.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(grown, cluster);
    assert_eq!(joiners, instances[3..], "the new ones only, as they are kept");
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::GrowingCluster, Some(growth.task.id)));
    assert_eq!(cluster.fault.as_deref(), Some("No more machines."), "the old fault stays until the task ends");
    assert_eq!(cluster.updated, joiners[0].created);
    for ((joiner, asked), number) in joiners.iter().zip(&growth.joiners).zip([4, 5]) {
        assert_eq!((joiner.id, joiner.cluster, joiner.number), (asked.id, new.id, number));
        assert_eq!(joiner.name, format!("orders-member-{number}"));
        assert_eq!((joiner.flavor_id.as_str(), joiner.ram_mb, joiner.volume_gb), ("8", 1_024, 2));
        assert_eq!((joiner.planned_slots, joiner.lifecycle), (None, Lifecycle::Building));
    }
    let task = bed.second.task(growth.task.id).await.unwrap().unwrap();
    assert_eq!((task.cluster, task.kind, task.state), (new.id, TaskKind::GrowCluster, TaskState::Pending));
    assert_eq!((task.members, task.verdict), (growth.task.members, None));
    assert_eq!(task.deadline, task.created.after(LONG));

    let claimed = bed.claimed(growth.task.id).await;
    assert_eq!(claimed.task.members, [growth.joiners[0].id, growth.joiners[1].id]);
    let complete = growth.joiners.iter().map(|joiner| (joiner.id, Lifecycle::Complete)).collect();
    bed.store.finish(&claimed.lease, &Ending { lifecycles: complete, ..success() }).await.unwrap();
    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation, cluster.fault), (ClusterTask::None, None, None));
    assert!(instances[3..].iter().all(|joiner| joiner.lifecycle == Lifecycle::Complete));
}

pub(super) async fn numbers_follow_the_highest_that_was_ever_used(bed: Bed) {
    let new = bed.ready(3).await;
    let last = new.instances[2].id;
    let lease = bed.shrinking(new.id, &[last]).await;
    bed.changed(&lease, &[Change::Left { instance: last }, Change::Gone { instance: last }]).await;
    bed.store.finish(&lease, &success()).await.unwrap();
    let growth = bed.growth(new.id, 2);
    let (_, joiners) = bed.store.grow_cluster(&growth).await.unwrap();
    assert_eq!(joiners.iter().map(|joiner| joiner.number).collect::<Vec<_>>(), [4, 5]);
    let (_, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(instances.iter().map(|instance| instance.number).collect::<Vec<_>>(), [1, 2, 4, 5]);
}

pub(super) async fn racing_growths_are_taken_once(bed: Bed) {
    let new = bed.ready(1).await;
    let mut race = JoinSet::new();
    for runner in 0..10 {
        let growth = bed.growth(new.id, 2);
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { store.grow_cluster(&growth).await });
    }
    let (taken, refused): (Vec<_>, Vec<_>) = race.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 1);
    for error in refused.into_iter().filter_map(Result::err) {
        assert!(matches!(error, SubmitError::Busy(ClusterTask::GrowingCluster)), "{error}");
    }
    assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap().1.len(), 3);
    assert_eq!(bed.store.tasks(Some(new.id), 10).await.unwrap().len(), 2, "the build and one growth");
}

pub(super) async fn only_a_free_cluster_of_the_project_grows(bed: Bed) {
    let refused = async |growth: &Growth| bed.store.grow_cluster(growth).await.unwrap_err();
    let new = bed.created(2).await;
    let error = refused(&bed.growth(new.id, 1)).await;
    assert!(matches!(error, SubmitError::Busy(ClusterTask::Building)), "{error}");
    for project in ["project-b", "project-A"] {
        let project: ProjectId = project.parse().unwrap();
        let error = refused(&Growth { project, ..bed.growth(new.id, 1) }).await;
        assert!(matches!(error, SubmitError::NotFound), "{error}");
    }
    let greedy = Growth { limits: Limits { instances: 0, volumes_gb: 0 }, ..bed.growth(new.id, 1) };
    let error = refused(&greedy).await;
    assert!(matches!(error, SubmitError::Busy(_)), "it is busy, whatever the quota says: {error}");
    let error = refused(&Growth { cluster: ClusterId(bed.scattered()), ..greedy }).await;
    assert!(matches!(error, SubmitError::NotFound), "{error}");

    let lease = bed.claimed(new.task.id).await.lease;
    bed.store.finish(&lease, &success()).await.unwrap();
    let lease = bed.shrinking(new.id, &[new.instances[0].id]).await;
    let error = refused(&bed.growth(new.id, 1)).await;
    assert!(matches!(error, SubmitError::Busy(ClusterTask::ShrinkingCluster)), "{error}");
    bed.store.finish(&lease, &success()).await.unwrap();
    let lease = bed.deleting(new.id).await.lease;
    let error = refused(&bed.growth(new.id, 1)).await;
    assert!(matches!(error, SubmitError::Busy(ClusterTask::Deleting)), "{error}");
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    let error = refused(&bed.growth(new.id, 1)).await;
    assert!(matches!(error, SubmitError::NotFound), "a cluster that is deleted is not there: {error}");
    assert!(bed.fits(1, Limits { instances: 1, volumes_gb: 2 }).await, "refusals take nothing");
}

pub(super) async fn a_cluster_has_so_many_members_and_no_more(bed: Bed) {
    let most = u32::try_from(MOST_MEMBERS).unwrap();
    let new = bed.created(most - 1).await;
    let build = bed.claimed(new.task.id).await.lease;
    bed.store.finish(&build, &success()).await.unwrap();
    let before = bed.store.cluster(new.id).await.unwrap().unwrap();
    let growth = bed.growth(new.id, 2);
    let error = bed.store.grow_cluster(&growth).await.unwrap_err();
    assert!(matches!(error, SubmitError::TooMany(1_001)), "{error}");
    assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap(), before);
    assert!(bed.store.task(growth.task.id).await.unwrap().is_none());

    let first = new.instances[0].id;
    let lease = bed.shrinking(new.id, &[first]).await;
    bed.changed(&lease, &[Change::Gone { instance: first }]).await;
    bed.store.finish(&lease, &success()).await.unwrap();
    let (_, joiners) = bed.store.grow_cluster(&growth).await.unwrap();
    assert_eq!(joiners.iter().map(|joiner| joiner.number).collect::<Vec<_>>(), [most, most + 1]);
    let claimed = bed.claimed(growth.task.id).await;
    bed.store.finish(&claimed.lease, &success()).await.unwrap();
    let everybody: Vec<_> =
        bed.store.cluster(new.id).await.unwrap().unwrap().1.iter().map(|instance| instance.id).collect();
    let leavers = &everybody[1..];
    let lease = bed.shrinking(new.id, leavers).await;
    assert_eq!(bed.store.task(lease.task).await.unwrap().unwrap().members, leavers, "as many as there may be");
}

pub(super) async fn a_growth_keeps_the_quota(bed: Bed) {
    let new = bed.ready(2).await;
    let before = bed.store.cluster(new.id).await.unwrap().unwrap();
    for (limits, wanted) in [
        (Limits { instances: 4, volumes_gb: 10 }, vec!["instances"]),
        (Limits { instances: 5, volumes_gb: 9 }, vec!["volumes"]),
        (Limits { instances: 0, volumes_gb: 0 }, vec!["instances", "volumes"]),
    ] {
        let growth = Growth { limits, ..bed.growth(new.id, 3) };
        let error = bed.store.grow_cluster(&growth).await.unwrap_err();
        assert!(matches!(&error, SubmitError::Quota(over) if *over == wanted), "{error}");
        assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap(), before);
        assert!(bed.store.task(growth.task.id).await.unwrap().is_none());
    }
    let exact = Limits { instances: 5, volumes_gb: 10 };
    let growth = Growth { limits: exact, ..bed.growth(new.id, 3) };
    bed.store.grow_cluster(&growth).await.unwrap();
    assert!(!bed.fits(1, Limits { instances: 5, volumes_gb: -1 }).await);
    let lease = bed.deleting(new.id).await.lease;
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    assert!(bed.fits(5, exact).await, "all of it is free");
}

pub(super) async fn racing_growths_never_exceed_a_quota(bed: Bed) {
    let limits = Limits { instances: 14, volumes_gb: 28 };
    let (mut growths, mut race) = (Vec::new(), JoinSet::new());
    for _ in 0..8 {
        growths.push(Growth { limits, ..bed.growth(bed.ready(1).await.id, 2) });
    }
    for (runner, growth) in growths.into_iter().enumerate() {
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { store.grow_cluster(&growth).await });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "8 there are, 6 more may be");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(&error, SubmitError::Quota(over) if over == &["instances", "volumes"]), "{error}");
    }
}

pub(super) async fn a_growth_is_taken_whole_or_not_at_all(bed: Bed) {
    let new = bed.ready(1).await;
    let before = bed.store.cluster(new.id).await.unwrap().unwrap();
    let limits = Limits { instances: 2, volumes_gb: 4 };
    let mut growth = Growth { limits, ..bed.growth(new.id, 1) };
    growth.task.id = new.task.id;
    let error = bed.store.grow_cluster(&growth).await.unwrap_err();
    assert!(matches!(error, SubmitError::Store(_)), "the task's id is another's: {error}");
    assert_eq!(bed.store.cluster(new.id).await.unwrap().unwrap(), before);
    assert_eq!(bed.store.task(new.task.id).await.unwrap().unwrap().kind, TaskKind::CreateCluster);
    assert!(bed.fits(1, limits).await, "its quota is free");
}
