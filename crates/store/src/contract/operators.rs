//! What operators do: they see every cluster, and reset one that is busy.

use redtrove_core::ClusterId;
use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_engine::ports::{ENDED_BY_RESET, Ending, NewCluster, Record, StoreError, SubmitError};
use redtrove_engine::task::TaskState;

use super::{Bed, LONG, success};

pub(super) async fn a_reset_ends_a_build(bed: Bed) {
    let new = bed.created(2).await;
    let old = bed.claimed(new.task.id).await.lease;
    let ended = bed.second.reset_cluster(&bed.project(), new.id, None).await.unwrap();
    assert_eq!(ended, Some(new.task.id));

    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::None, None));
    assert_eq!(cluster.fault.as_deref(), Some(ENDED_BY_RESET));
    for instance in &instances {
        assert_eq!((instance.lifecycle, instance.fault.as_deref()), (Lifecycle::Building, Some(ENDED_BY_RESET)));
    }
    let task = bed.store.task(new.task.id).await.unwrap().unwrap();
    assert_eq!((task.state, task.lease_owner), (TaskState::Failed, None));
    assert_eq!(task.fault.as_deref(), Some("superseded by a reset"));
    assert!(matches!(bed.store.renew(&old, LONG).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.record(&old, &Record::default()).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.finish(&old, &success()).await, Err(StoreError::LeaseLost)));
    assert!(bed.store.claim(new.task.id, "tm-1", LONG).await.unwrap().is_none());

    let lease = bed.deleting(new.id).await.lease;
    assert!(lease.token > old.token, "guests have to obey the new one");
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    assert!(bed.fits(2, redtrove_engine::ports::Limits { instances: 2, volumes_gb: 4 }).await, "its quota is free");
}

pub(super) async fn a_reset_of_a_cluster_that_is_not_busy_changes_nothing(bed: Bed) {
    let new = bed.ready(2).await;
    let before = bed.store.cluster(new.id).await.unwrap();
    assert_eq!(bed.store.reset_cluster(&bed.project(), new.id, None).await.unwrap(), None);
    assert_eq!(bed.store.cluster(new.id).await.unwrap(), before);
}

pub(super) async fn a_reset_of_a_delete_leaves_members_on_their_way_out(bed: Bed) {
    let new = bed.ready(2).await;
    let lease = bed.deleting(new.id).await.lease;
    assert_eq!(bed.store.reset_cluster(&bed.project(), new.id, None).await.unwrap(), Some(lease.task));
    let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(cluster.task, ClusterTask::None);
    for instance in instances {
        assert_eq!((instance.lifecycle, instance.fault), (Lifecycle::Deleting, None));
    }
    bed.deleting(new.id).await;
}

pub(super) async fn only_the_projects_clusters_are_reset(bed: Bed) {
    let new = bed.created(1).await;
    for (project, cluster) in [("project-b", new.id), ("project-a", ClusterId(bed.scattered()))] {
        let error = bed.store.reset_cluster(&project.parse().unwrap(), cluster, None).await.unwrap_err();
        assert!(matches!(error, SubmitError::NotFound), "{error}");
    }
    let (cluster, _) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(cluster.task, ClusterTask::Building);
}

pub(super) async fn operators_see_every_cluster(bed: Bed) {
    let (first, gone) = (bed.created(2).await, bed.ready(1).await);
    let other = NewCluster { project: "project-b".parse().unwrap(), ..bed.new_cluster("other", 3) };
    bed.store.create_cluster(&other).await.unwrap();
    let lease = bed.deleting(gone.id).await.lease;
    bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();

    let ids = |mut ids: Vec<ClusterId>| {
        ids.sort_by_key(ClusterId::to_string);
        ids
    };
    for (deleted, wanted) in [
        (None, ids(vec![first.id, gone.id, other.id])),
        (Some(false), ids(vec![first.id, other.id])),
        (Some(true), vec![gone.id]),
    ] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = bed.second.operator_clusters(deleted, after, 1).await.unwrap();
            let Some(found) = page.first() else { break };
            after = Some(found.cluster.id);
            assert_eq!(Some(found), bed.store.operator_cluster(found.cluster.id).await.unwrap().as_ref());
            assert_eq!(found.deleted_at.is_some(), found.cluster.id == gone.id);
            seen.push((found.cluster.id, found.instances.len()));
        }
        assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), wanted);
        assert!(seen.iter().all(|(id, members)| (*members == 0) == (*id == gone.id)), "{seen:?}");
    }
    assert_eq!(bed.store.operator_cluster(ClusterId(bed.scattered())).await.unwrap(), None);
}
