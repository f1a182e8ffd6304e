//! What projects may have: the installation's limits, and a project's own.

use std::collections::BTreeMap;

use redtrove_engine::ports::{Limits, NewCluster, Resource, SubmitError, Usage};
use tokio::task::JoinSet;

use super::Bed;

const INSTALLATION: Limits = Limits { instances: 10, volumes_gb: 40 };

fn own(instances: Option<i64>, volumes: Option<i64>) -> BTreeMap<Resource, Option<i64>> {
    BTreeMap::from([(Resource::Instances, instances), (Resource::Volumes, volumes)])
}

pub(super) async fn a_projects_own_limit_counts_before_the_installations(bed: Bed) {
    bed.store.put_limits(&bed.project(), &own(Some(2), Some(100))).await.unwrap();
    assert!(!bed.fits(3, INSTALLATION).await, "less than the installation's");
    assert!(bed.fits(2, INSTALLATION).await);
    bed.second.put_limits(&bed.project(), &own(Some(30), Some(-1))).await.unwrap();
    assert!(bed.fits(28, INSTALLATION).await, "more than the installation's, and volumes without limit");
    assert!(!bed.fits(1, INSTALLATION).await);
    bed.store.put_limits(&bed.project(), &own(Some(0), Some(-1))).await.unwrap();
    let other = NewCluster { project: "project-b".parse().unwrap(), limits: INSTALLATION, ..bed.new_cluster("b", 10) };
    bed.store.create_cluster(&other).await.unwrap();
}

pub(super) async fn what_is_in_use_and_allowed_reads_back(bed: Bed) {
    let of = |instances, volumes| {
        let usage = |resource, (in_use, own_limit)| Usage { resource, in_use, own_limit };
        vec![usage(Resource::Instances, instances), usage(Resource::Volumes, volumes)]
    };
    assert_eq!(bed.store.usages(&bed.project()).await.unwrap(), of((0, None), (0, None)), "nobody heard of it");
    bed.created(3).await;
    bed.store.put_limits(&bed.project(), &BTreeMap::from([(Resource::Volumes, Some(-1))])).await.unwrap();
    assert_eq!(bed.second.usages(&bed.project()).await.unwrap(), of((3, None), (6, Some(-1))));
    bed.store.put_limits(&bed.project(), &own(Some(1), None)).await.unwrap();
    let usages = bed.second.usages(&bed.project()).await.unwrap();
    assert_eq!(usages, of((3, Some(1)), (6, None)), "a limit below what is in use takes nothing away");
    assert_eq!(usages.iter().map(|usage| usage.limit(INSTALLATION)).collect::<Vec<_>>(), [1, 40]);
    bed.store.put_limits(&bed.project(), &BTreeMap::new()).await.unwrap();
    assert_eq!(bed.store.usages(&bed.project()).await.unwrap(), usages);
}

pub(super) async fn fifty_creates_at_once_stay_within_a_projects_own_limit(bed: Bed) {
    bed.store.put_limits(&bed.project(), &own(Some(21), Some(30))).await.unwrap();
    let mut race = JoinSet::new();
    for runner in 0..50 {
        let new = NewCluster { limits: INSTALLATION, ..bed.new_cluster("racer", 1 + runner % 3) };
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { store.create_cluster(&new).await });
    }
    for error in race.join_all().await.into_iter().filter_map(Result::err) {
        assert!(matches!(&error, SubmitError::Quota(_)), "{error}");
    }
    let usages = bed.store.usages(&bed.project()).await.unwrap();
    let instances = bed.store.instances(&bed.project(), None, 100).await.unwrap().len();
    assert_eq!(usages[0].in_use, i64::try_from(instances).unwrap());
    assert_eq!(usages[1].in_use, 2 * usages[0].in_use);
    assert!((13..=15).contains(&instances), "{instances}: as many as fit, none more");
}
