//! Submissions of clusters, and how they read back.

use redtrove_core::ClusterId;
use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::{Heard, Lifecycle};
use redtrove_core::placement::{Locality, Nic, Placement};
use redtrove_engine::ports::{Change, Limits, NewCluster, Record, SubmitError};
use redtrove_engine::task::{TaskKind, TaskState};
use tokio::task::JoinSet;

use super::{Bed, LONG};

pub(super) async fn a_cluster_reads_back_as_asked_for(bed: Bed) {
    let before = bed.store.now().await.unwrap();
    let new = bed.created(3).await;
    let (cluster, instances) = bed.second.cluster(new.id).await.unwrap().unwrap();
    assert_eq!((cluster.id, &cluster.project, &cluster.name), (new.id, &new.project, &new.name));
    assert_eq!((cluster.task, cluster.operation), (ClusterTask::Building, Some(new.task.id)));
    assert_eq!((cluster.datastore.datastore.as_str(), cluster.datastore.version.as_str()), ("redis", "7.0"));
    assert_eq!((cluster.datastore.version_id, cluster.fault), (bed.version, None));
    assert_eq!((cluster.created, cluster.updated, cluster.locality), (new.created, new.created, None));

    assert_eq!(instances.len(), 3);
    for (instance, asked) in instances.iter().zip(&new.instances) {
        assert_eq!((instance.id, instance.cluster, &instance.name), (asked.id, new.id, &asked.name));
        assert_eq!((instance.number, &instance.flavor_id), (asked.number, &asked.flavor_id));
        assert_eq!((instance.ram_mb, instance.volume_gb), (512, 2));
        assert_eq!((instance.planned_slots, instance.lifecycle), (asked.planned_slots, Lifecycle::Building));
        assert_eq!((&instance.ip, instance.node_id, &instance.fault), (&None, None, &None));
        assert_eq!((&instance.heard, instance.created), (&Heard::default(), cluster.created));
        assert_eq!(*instance, asked.row(new.id, new.created), "as the answer to the request shows it");
    }

    let task = bed.second.task(new.task.id).await.unwrap().unwrap();
    assert_eq!((task.id, task.cluster, task.kind), (new.task.id, new.id, TaskKind::CreateCluster));
    assert_eq!((task.state, task.attempt, task.lease_owner), (TaskState::Pending, 0, None));
    assert_eq!((task.step, task.progress, task.fault), (None, None, None));
    assert_eq!((task.request, task.traceparent), (new.task.request, new.task.traceparent));
    assert!(task.created >= before && task.deadline == task.created.after(LONG));
    assert_eq!((task.started, task.ended), (None, None));
}

pub(super) async fn names_are_kept_to_the_letter(bed: Bed) {
    let (longest, emoji) = ("é".repeat(255), "🦀".repeat(255));
    let names = [longest.as_str(), &emoji, "orders", "Orders", "orders ", " orders", "o'rd\"er;s\\%_?"];
    for name in names {
        let new = bed.new_cluster(name, 1);
        bed.store.create_cluster(&new).await.unwrap();
        let (cluster, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
        assert_eq!(cluster.name, name);
        assert_eq!(instances[0].name, format!("{name}-member-1"));
    }
    let mut kept: Vec<_> =
        bed.store.clusters(&bed.project(), None, 100).await.unwrap().into_iter().map(|(c, _)| c.name).collect();
    let mut asked = names.map(str::to_owned).to_vec();
    kept.sort();
    asked.sort();
    assert_eq!(kept, asked);
}

pub(super) async fn pages_follow_the_order_of_ids(bed: Bed) {
    let mut ids: Vec<ClusterId> = Vec::new();
    for members in [1, 2, 1, 3, 1, 2, 1] {
        ids.push(bed.created(members).await.id);
    }
    let other = NewCluster { project: "project-A".parse().unwrap(), ..bed.new_cluster("other", 1) };
    bed.store.create_cluster(&other).await.unwrap();
    ids.sort_by_key(ClusterId::to_string);

    let (mut seen, mut after, mut sizes) = (Vec::new(), None, Vec::new());
    loop {
        let page = bed.store.clusters(&bed.project(), after, 3).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(last.id);
        sizes.push(page.len());
        for (cluster, instances) in page {
            let numbers: Vec<_> = instances.iter().map(|instance| instance.number).collect();
            assert!(!numbers.is_empty() && numbers.is_sorted(), "{numbers:?}");
            assert!(instances.iter().all(|instance| instance.cluster == cluster.id));
            seen.push(cluster.id);
        }
    }
    assert_eq!(seen, ids);
    assert_eq!(sizes, [3, 3, 1]);
    let others = bed.store.clusters(&other.project, None, 10).await.unwrap();
    assert_eq!(others.len(), 1, "projects differ in case");
    assert!(bed.store.clusters(&"nobody".parse().unwrap(), None, 10).await.unwrap().is_empty());
}

pub(super) async fn instances_are_found_through_their_project(bed: Bed) {
    let (first, second) = (bed.created(3).await, bed.ready(2).await);
    let other = NewCluster { project: "project-b".parse().unwrap(), ..bed.new_cluster("other", 1) };
    bed.store.create_cluster(&other).await.unwrap();
    let lease = bed.deleting(second.id).await.lease;
    let gone = Change::Gone { instance: second.instances[0].id };
    bed.store.record(&lease, &Record { changes: vec![gone], ..Record::default() }).await.unwrap();

    let mut wanted: Vec<_> = first.instances.iter().map(|instance| (instance.id, first.id)).collect();
    wanted.push((second.instances[1].id, second.id));
    wanted.sort_by_key(|(instance, _)| instance.to_string());
    let page = bed.store.instances(&bed.project(), None, 3).await.unwrap();
    let rest = bed.store.instances(&bed.project(), Some(page[2].1.id), 3).await.unwrap();
    let found: Vec<_> = page.iter().chain(&rest).map(|(cluster, instance)| (instance.id, cluster.id)).collect();
    assert_eq!((page.len(), found), (3, wanted));

    let id = first.instances[1].id;
    let (cluster, instance) = bed.store.instance(&bed.project(), id).await.unwrap().unwrap();
    assert_eq!((cluster.id, instance.id, instance.number), (first.id, id, 2));
    assert!(bed.store.instance(&other.project, id).await.unwrap().is_none(), "another project's");
    assert!(bed.store.instance(&bed.project(), second.instances[0].id).await.unwrap().is_none(), "gone");
}

pub(super) async fn racing_requests_never_exceed_a_quota(bed: Bed) {
    let limits = Limits { instances: 10, volumes_gb: -1 };
    let mut race = JoinSet::new();
    for runner in 0..20 {
        let new = NewCluster { limits, ..bed.new_cluster("racer", 2) };
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { store.create_cluster(&new).await });
    }
    let results = race.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(&error, SubmitError::Quota(over) if over == &["instances"]), "{error}");
    }
    assert_eq!(bed.store.clusters(&bed.project(), None, 100).await.unwrap().len(), 5);
}

pub(super) async fn every_exceeded_resource_is_named(bed: Bed) {
    for (limits, wanted) in [
        (Limits { instances: 2, volumes_gb: 6 }, vec!["instances"]),
        (Limits { instances: 3, volumes_gb: 5 }, vec!["volumes"]),
        (Limits { instances: 0, volumes_gb: 0 }, vec!["instances", "volumes"]),
    ] {
        let new = NewCluster { limits, ..bed.new_cluster("greedy", 3) };
        let error = bed.store.create_cluster(&new).await.unwrap_err();
        assert!(matches!(&error, SubmitError::Quota(over) if *over == wanted), "{error}");
        assert!(bed.store.cluster(new.id).await.unwrap().is_none());
        assert!(bed.store.task(new.task.id).await.unwrap().is_none());
    }
    assert!(bed.fits(3, Limits { instances: 3, volumes_gb: 6 }).await, "a refusal takes nothing");
    assert!(!bed.fits(1, Limits { instances: 3, volumes_gb: 100 }).await);
}

pub(super) async fn a_negative_limit_is_none(bed: Bed) {
    assert!(bed.fits(7, Limits { instances: -1, volumes_gb: -7 }).await);
    assert!(!bed.fits(1, Limits { instances: 7, volumes_gb: -1 }).await, "what has no limit is counted all the same");
    let mut huge = bed.new_cluster("huge", 1);
    huge.instances[0].volume_gb = u64::MAX;
    let error = bed.store.create_cluster(&huge).await.unwrap_err();
    assert!(matches!(&error, SubmitError::Quota(over) if over == &["volumes"]), "{error}");
}

pub(super) async fn projects_do_not_share_a_quota(bed: Bed) {
    let limits = Limits { instances: 2, volumes_gb: 4 };
    for project in ["project-b", "project-B", "project-c"] {
        let new = NewCluster { limits, project: project.parse().unwrap(), ..bed.new_cluster("own", 2) };
        bed.store.create_cluster(&new).await.unwrap();
    }
    assert!(bed.fits(2, limits).await);
}

pub(super) async fn a_submission_is_taken_whole_or_not_at_all(bed: Bed) {
    let taken = bed.created(1).await;
    let limits = Limits { instances: 4, volumes_gb: 8 };
    let mut new = NewCluster { limits, ..bed.new_cluster("torn", 3) };
    new.task.id = taken.task.id;
    let error = bed.store.create_cluster(&new).await.unwrap_err();
    assert!(matches!(error, SubmitError::Store(_)), "the task's id is another's: {error}");
    assert!(bed.store.cluster(new.id).await.unwrap().is_none());
    assert_eq!(bed.store.task(taken.task.id).await.unwrap().unwrap().cluster, taken.id);
    assert!(bed.fits(3, limits).await, "its quota is free");
}

pub(super) async fn where_members_are_to_be_reads_back(bed: Bed) {
    let mut new = bed.new_cluster("placed", 2);
    new.locality = Some(Locality::AntiAffinity);
    let (network, address) = (Some(bed.scattered()), Some("10.0.0.7".parse().unwrap()));
    let placement = Placement {
        availability_zone: Some("zone \"ü\"".to_owned()),
        nic: Some(Nic { network, subnet: None, address }),
        volume_type: Some("fast".to_owned()),
        region: None,
    };
    new.instances[1].placement = placement.clone();
    bed.store.create_cluster(&new).await.unwrap();
    let (cluster, instances) = bed.second.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(cluster.locality, Some(Locality::AntiAffinity));
    assert_eq!((&instances[0].placement, &instances[1].placement), (&Placement::default(), &placement));
}
