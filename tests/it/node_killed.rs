//! A whole node is killed, guest agent and redis-server in the same moment, again and again: it comes back as the same
//! node with every acknowledged key, and does not keep its tenants waiting longer each time.

use std::time::{Duration, Instant};

use crate::support::keys::{Writer, missing};
use crate::support::world::{Expected, World, impatient, kill_all};
use crate::support::{until, within};

const EXPECTED: Expected<'_> = &[("had ended: started it again", "the story kills an agent")];

/// An agent is looked after every second, and a server says for two seconds after its start that the cluster is not well.
const BACK_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_node_that_is_killed_again_and_again_comes_back_each_time() {
    let world = World::embedded(impatient);
    let cluster = world.create_synced("killed", 3);
    cluster.wait_active();
    let (members, nodes) = (cluster.addresses(), cluster.node_ids());
    let victim = world.guests().remove(1).id;
    let processes = || {
        let guest = world.guests().into_iter().find(|guest| guest.id == victim).expect("its directory stays");
        [guest.agent, guest.redis].into_iter().flatten().collect::<Vec<_>>()
    };
    for round in 0..4 {
        let prefix = format!("round-{round}-");
        let writer = Writer::start(members.clone(), &prefix);
        writer.wait_for_more(50);
        let killed = Instant::now();
        let victims = processes();
        assert_eq!(victims.len(), 2, "an agent and a redis-server");
        kill_all(&victims);
        within("both processes to be new ones", BACK_WITHIN, || {
            let new = processes();
            new.len() == 2 && !new.iter().any(|process| victims.contains(process))
        });
        cluster.wait_well();
        println!("round {round}: well again after {:?}", killed.elapsed());
        let written = writer.stop();
        assert!(!written.errors.is_empty(), "a client that writes all the time notices it");
        assert_eq!(missing(&members, &prefix, &written.acknowledged), Vec::<u64>::new());
        assert_eq!(cluster.node_ids(), nodes, "the same nodes");
    }
    cluster.assert_slots_even();
    world.wait_heard_running(3);
    until("all members to be ACTIVE", || cluster.is_active());
    world.end(EXPECTED);
}
