//! kill -9 of api, taskmanager and all guest agents while clusters form, at ten moments: the same clusters become
//! ACTIVE, made of the nodes that were there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::clusters::Cluster;
use crate::support::world::{Expected, World, impatient, kill_all};
use crate::support::{at, leftovers};

/// How old the clusters of a round are when everything is killed, oldest first, milliseconds. Alone, a cluster forms
/// in 2.3 s, most of which is Redis' own wait.
const AGES: [[u64; 5]; 2] = [[2400, 1600, 1000, 500, 150], [2000, 1300, 750, 300, 0]];

const EXPECTED: Expected<'_> = &[("had ended: started it again", "the story kills agents")];

#[test]
fn clusters_whose_makers_are_killed_at_ten_moments_are_made_all_the_same() {
    let mut world = World::embedded(impatient);
    world.supervise();
    // How far they are at these ages depends on the machine: as many rounds as it takes to meet enough of each kind.
    let mut rounds = Vec::new();
    let (mut unfinished, mut nodes) = (0, 0);
    for ages in AGES.iter().cycle().take(6) {
        let round = kill_at(&world, *ages);
        unfinished += round.unfinished;
        nodes += round.nodes;
        rounds.push(round);
        if rounds.len() >= AGES.len() && unfinished >= 7 && nodes >= 4 {
            break;
        }
    }
    assert!(unfinished >= 7, "only {unfinished} clusters were still forming when everything was killed");
    assert!(nodes >= 4, "only {nodes} nodes were known by their ids when everything was killed");

    let clusters: Vec<&Cluster> = rounds.iter().flat_map(|round| &round.clusters).collect();
    clusters.iter().for_each(|cluster| cluster.assert_slots_even());
    world.check_logs(EXPECTED);
    clusters.iter().for_each(|cluster| cluster.delete());
    clusters.iter().for_each(|cluster| cluster.wait_gone());
    leftovers::assert_none(&world);
    world.end(EXPECTED);
}

/// What a round hit.
struct Round {
    clusters: Vec<Cluster>,
    /// How many clusters were not complete yet.
    unfinished: usize,
    /// How many nodes of theirs were known by their ids.
    nodes: usize,
}

/// Makes clusters one after the other, kills everything when they have these ages, and compares each node's id, where
/// it was known then, with the one in the end.
fn kill_at(world: &World, ages: [u64; 5]) -> Round {
    let hit = Instant::now() + Duration::from_millis(ages[0]);
    let clusters: Vec<Cluster> = ages
        .iter()
        .map(|age| {
            at(hit - Duration::from_millis(*age));
            world.create(&format!("{age}-ms-old"), 2)
        })
        .collect();
    at(hit);
    let mut victims = vec![world.daemon("api"), world.daemon("taskmanager")];
    victims.extend(world.guests().iter().filter_map(|guest| guest.agent));
    kill_all(&victims);
    // Nobody writes now, so this is what the next taskmanager finds.
    let recorded = nodes(world);
    let known = "SELECT COUNT(*) FROM instances JOIN tasks ON tasks.cluster_id = instances.cluster_id \
                 WHERE tasks.ended IS NULL AND node_id IS NOT NULL";
    let known = usize::try_from(world.database().number(known)).unwrap();
    let running = "SELECT COUNT(*) FROM tasks WHERE ended IS NULL AND kind = 'create_cluster'";
    let unfinished = usize::try_from(world.database().number(running)).unwrap();

    clusters.iter().for_each(|cluster| drop(cluster.wait_active()));
    let present = nodes(world);
    for (instance, node) in recorded.iter().filter(|(_, node)| node.is_some()) {
        assert_eq!(present.get(instance), Some(node), "instance {instance} is another node than before");
    }
    let told: Vec<Option<String>> = clusters.iter().flat_map(Cluster::node_ids).map(Some).collect();
    assert!(told.iter().all(|id| present.values().any(|known| known == id)), "{told:?} against {present:?}");
    Round { clusters, unfinished, nodes: known }
}

/// The nodes that are recorded, by instance.
fn nodes(world: &World) -> BTreeMap<String, Option<String>> {
    world.database().pairs("SELECT id, node_id FROM instances WHERE deleted_at IS NULL").into_iter().collect()
}
