//! A cluster may be deleted at any moment of its making: nothing is left of it.

use std::time::{Duration, Instant};

use crate::support::clusters::Cluster;
use crate::support::world::World;
use crate::support::{at, leftovers};

/// How old the clusters are when they are deleted, milliseconds; alone, a cluster forms in 2.3 s.
const AGES: [u64; 8] = [0, 50, 150, 300, 500, 900, 1500, 2200];

#[test]
fn a_cluster_deleted_at_any_moment_of_its_making_leaves_nothing() {
    let world = World::embedded(|_| ());
    // How far they are at these ages depends on the machine.
    let mut unfinished = 0;
    for round in 0..4 {
        unfinished += delete_at(&world, round);
        if unfinished >= 6 {
            break;
        }
    }
    assert!(unfinished >= 6, "only {unfinished} clusters were deleted while they were being made");
    leftovers::assert_none(&world);
    world.end(&[]);
}

/// Makes clusters and deletes them at these ages; how many were not made yet.
fn delete_at(world: &World, round: usize) -> usize {
    let clusters: Vec<(Instant, Cluster)> =
        AGES.iter().map(|age| (Instant::now(), world.create(&format!("for-{age}-ms-{round}"), 2))).collect();
    let mut due: Vec<(Instant, &Cluster)> =
        clusters.iter().zip(AGES).map(|((made, cluster), age)| (*made + Duration::from_millis(age), cluster)).collect();
    due.sort_by_key(|(due, _)| *due);
    let mut unfinished = 0;
    for (moment, cluster) in due {
        at(moment);
        unfinished += usize::from(!cluster.is_active());
        cluster.delete();
        let again = world.client().delete(&cluster.path()).unwrap();
        assert!([202, 404].contains(&again.status), "a second delete changes nothing: {again:?}");
    }
    clusters.iter().for_each(|(_, cluster)| cluster.wait_gone());
    unfinished
}
