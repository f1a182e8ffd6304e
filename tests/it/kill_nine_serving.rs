//! kill -9 of all daemons and agents while a cluster serves: its clients notice nothing.

use std::time::Duration;

use redtrove_testkit::Process;
use redtrove_testkit::stack::Guest;

use crate::support::keys::{Writer, missing};
use crate::support::until;
use crate::support::world::{Expected, World, impatient, kill_all};

const EXPECTED: Expected<'_> = &[
    ("had ended: started it again", "the story kills agents"),
    ("redis-server will be started again", "the control kills a redis-server"),
];

#[test]
fn clients_of_a_cluster_notice_no_death_of_a_daemon() {
    let mut world = World::embedded(impatient);
    world.supervise();
    let cluster = world.create("serving", 3);
    cluster.wait_active();
    let members = cluster.addresses();
    let servers = servers(&world.guests());
    assert_eq!(servers.len(), 3);

    let writer = Writer::start(members.clone(), "kept-");
    let daemons = [world.daemon("api"), world.daemon("taskmanager")];
    let agents: Vec<Process> = world.guests().iter().map(|guest| guest.agent.expect("it runs")).collect();
    kill_all(&[&daemons[..], &agents].concat());
    writer.wait_for_more(100);
    // All of them back, and the members' statuses heard by the new taskmanager from the new agents.
    until("new agents", || world.guests().iter().all(|guest| guest.agent.is_some_and(|new| !agents.contains(&new))));
    cluster.wait_active();
    world.wait_heard_running(3);
    writer.wait_for_more(100);
    let written = writer.stop();
    assert_eq!(written.errors, Vec::<String>::new(), "of {} writes", written.acknowledged.len());
    // Redis itself may keep a write for two seconds while the disk is slow (appendfsync everysec).
    assert!(written.slowest < Duration::from_millis(2900), "a write took {:?}", written.slowest);
    assert_eq!(missing(&members, "kept-", &written.acknowledged), Vec::<u64>::new());
    assert_eq!(self::servers(&world.guests()), servers, "every redis-server is the one that it was");
    until("all members to be ACTIVE", || cluster.is_active());

    // The same client, asked whether it can notice anything at all.
    let writer = Writer::start(members, "noticed-");
    kill_all(&servers[..1]);
    writer.wait_for_more(50);
    assert!(!writer.stop().errors.is_empty(), "the death of a redis-server went unnoticed");
    world.end(EXPECTED);
}

fn servers(guests: &[Guest]) -> Vec<Process> {
    guests.iter().filter_map(|guest| guest.redis).collect()
}
