//! Deletes: taken from every state, once.

use std::time::Duration;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, Fault};
use redtrove_engine::ports::{Change, DeleteSubmitted, Ending, Limits, Outcome, Record, StoreError, SubmitError};
use redtrove_engine::task::{TaskKind, TaskState};
use tokio::task::JoinSet;

use super::{Bed, LONG, changed, success};

pub(super) async fn a_delete_takes_over_a_build(bed: Bed) {
    let new = bed.created(3).await;
    let old = bed.claimed(new.task.id).await.lease;
    let task = bed.new_task(TaskKind::DeleteCluster);
    let submitted = bed.second.delete_cluster(&bed.project(), new.id, &task).await.unwrap();
    assert_eq!(submitted, DeleteSubmitted::Taken);

    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::Deleting, Some(task.id)));
    assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Deleting));
    let build = bed.store.task(new.task.id).await.unwrap().unwrap();
    assert_eq!((build.state, build.lease_owner), (TaskState::Failed, None));
    assert!(build.fault.unwrap().contains("superseded by a delete"));
    assert!(build.ended.is_some());

    assert!(matches!(bed.store.renew(&old, LONG).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.record(&old, &Record::default()).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.release(&old, Duration::ZERO).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.raise_token(&old, 100).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.finish(&old, &success()).await, Err(StoreError::LeaseLost)));
    let (cluster, _) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::Deleting, Some(task.id)));

    let lease = bed.claimed(task.id).await.lease;
    assert!(lease.token > old.token, "guests have to obey the new one");
    assert!(bed.store.claim(new.task.id, "tm-1", LONG).await.unwrap().is_none(), "what has ended is not claimed");
}

pub(super) async fn a_delete_under_way_changes_nothing(bed: Bed) {
    let new = bed.ready(2).await;
    let lease = bed.deleting(new.id).await.lease;
    let again = bed.new_task(TaskKind::DeleteCluster);
    let submitted = bed.store.delete_cluster(&bed.project(), new.id, &again).await.unwrap();
    assert_eq!(submitted, DeleteSubmitted::UnderWay(lease.task));
    assert!(bed.store.task(again.id).await.unwrap().is_none());
    bed.store.renew(&lease, LONG).await.unwrap();
}

pub(super) async fn racing_deletes_are_taken_once(bed: Bed) {
    let new = bed.ready(1).await;
    let mut race = JoinSet::new();
    for runner in 0..10 {
        let (task, project) = (bed.new_task(TaskKind::DeleteCluster), bed.project());
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { (task.id, store.delete_cluster(&project, new.id, &task).await.unwrap()) });
    }
    let results = race.join_all().await;
    let taken: Vec<_> = results.iter().filter(|(_, result)| *result == DeleteSubmitted::Taken).collect();
    assert_eq!(taken.len(), 1);
    let winner = taken[0].0;
    let others = results.iter().filter(|(id, _)| *id != winner);
    assert!(others.into_iter().all(|(_, result)| *result == DeleteSubmitted::UnderWay(winner)));
    assert_eq!(bed.store.tasks(Some(new.id), 10).await.unwrap().len(), 2, "the build and one delete");
}

pub(super) async fn a_failed_delete_may_be_asked_for_again(bed: Bed) {
    let new = bed.ready(2).await;
    let first = bed.deleting(new.id).await.lease;
    let failure = Ending { outcome: Outcome::Failed(Fault::internal("The disk is on fire.")), ..success() };
    bed.store.finish(&first, &failure).await.unwrap();
    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::None, None));
    assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Deleting));
    let second = bed.deleting(new.id).await.lease;
    assert!(second.token > first.token);
}

pub(super) async fn only_the_project_deletes_its_clusters(bed: Bed) {
    let new = bed.ready(1).await;
    let task = bed.new_task(TaskKind::DeleteCluster);
    for (project, cluster) in [("project-b", new.id), ("project-A", new.id), ("project-a", ClusterId(bed.scattered()))]
    {
        let error = bed.store.delete_cluster(&project.parse().unwrap(), cluster, &task).await.unwrap_err();
        assert!(matches!(error, SubmitError::NotFound), "{error}");
    }
    let lease = bed.deleting(new.id).await.lease;
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    let error = bed.store.delete_cluster(&bed.project(), new.id, &task).await.unwrap_err();
    assert!(matches!(error, SubmitError::NotFound), "a cluster that is deleted is not there");
}

pub(super) async fn a_delete_takes_over_a_growth_and_a_shrink(bed: Bed) {
    for grows in [true, false] {
        let new = bed.ready(2).await;
        let lease = if grows {
            let growth = bed.growth(new.id, 2);
            bed.store.grow_cluster(&growth).await.unwrap();
            bed.claimed(growth.task.id).await.lease
        } else {
            bed.shrinking(new.id, &[new.instances[0].id]).await
        };
        let delete = bed.deleting(new.id).await.lease;
        let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
        assert_eq!((cluster.task, cluster.operation), (ClusterTask::Deleting, Some(delete.task)));
        assert_eq!(instances.len(), if grows { 4 } else { 2 });
        assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Deleting));
        let task = bed.store.task(lease.task).await.unwrap().unwrap();
        assert_eq!((task.state, task.verdict), (TaskState::Failed, None));
        assert!(task.fault.unwrap().contains("superseded by a delete"));
        assert_eq!(bed.store.waive_verdict(lease.task).await.unwrap(), None, "none was given");
        let late = changed(&[Change::Accepted, Change::Left { instance: new.instances[0].id }]);
        assert!(matches!(bed.store.record(&lease, &late).await, Err(StoreError::LeaseLost)));
        assert!(matches!(bed.store.finish(&lease, &success()).await, Err(StoreError::LeaseLost)));
        bed.store.finish(&delete, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    }
    assert!(bed.fits(1, Limits { instances: 1, volumes_gb: 2 }).await, "nothing is left over");
}
