//! The power goes: every process of a stack is killed at once. Its daemons are started again, and the rest is the
//! product's: agents, redis-servers, slots, and every acknowledged key. Twice in a row, the second time with files that were
//! being written.

use std::fs;

use redtrove_testkit::Process;
use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::stack::State;

use crate::support::keys::{Writer, missing};
use crate::support::until;
use crate::support::world::{Expected, World, impatient, kill_all};

const EXPECTED: Expected<'_> = &[
    ("had ended: started it again", "the story kills agents"),
    ("starts with the copy of it", "the story damages files"),
    ("cannot reach the message broker", "the story kills the broker"),
    ("is lost", "connections end with the broker"),
    ("lapin", "the library's own words about the same"),
];

#[test]
fn a_cluster_heals_after_everything_was_killed_at_once_and_again() {
    let mut world = World::with_own_broker(impatient);
    let cluster = world.create_synced("powered", 3);
    cluster.wait_active();
    let members = cluster.addresses();
    let nodes = cluster.node_ids();
    for round in ["first-", "second-"] {
        let writer = Writer::start(members.clone(), round);
        writer.wait_for_more(200);
        let victims: Vec<Process> = of_stack(world.layout().dir()).into_iter().map(|found| found.process).collect();
        assert!(victims.len() >= 9, "api, taskmanager, broker, three agents, three redis-servers: {victims:?}");
        kill_all(&victims);
        let written = writer.stop();
        if round == "second-" {
            let files: Vec<_> = world.guests().iter().map(|guest| guest.dir.join("node/data/nodes.conf")).collect();
            fs::OpenOptions::new().write(true).open(&files[0]).unwrap().set_len(150).unwrap();
            fs::remove_file(&files[1]).unwrap();
        }
        let daemons: Vec<String> =
            State::read(world.layout()).unwrap().daemons().map(|daemon| daemon.name.clone()).collect();
        for daemon in &daemons {
            world.stack().start_again(daemon).unwrap();
        }

        until("the API to answer", || cluster.look().is_some());
        cluster.wait_well();
        assert_eq!(cluster.node_ids(), nodes, "the same nodes");
        cluster.assert_slots_even();
        assert_eq!(missing(&members, round, &written.acknowledged), Vec::<u64>::new());
        world.wait_heard_running(3);
        cluster.wait_active();
    }
    assert_eq!(world.create("after", 1).wait_active()["task"]["name"], "NONE", "and the control plane works");
    world.end(EXPECTED);
}
