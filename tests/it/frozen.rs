//! What hangs is not dead: a redis-server that is stopped (SIGSTOP) is seen, is left alone, and serves when it goes on; so
//! does a guest agent.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::keys::write_and_read;
use crate::support::world::{Expected, World, impatient};
use crate::support::{at, until};

const EXPECTED: Expected<'_> = &[("redis-server does not answer", "the story stops one")];

/// Longer than the stack's leases.
const FROZEN: Duration = Duration::from_secs(8);

#[test]
fn a_frozen_redis_server_is_seen_and_left_alone() {
    let world = World::embedded(impatient);
    let cluster = world.create("frozen", 3);
    cluster.wait_active();
    let server = world.guests().remove(0).redis.expect("it runs");
    server.signal(Signal::STOP).unwrap();
    until("the status to show it", || cluster.statuses().iter().any(|status| status == "SHUTDOWN"));
    assert!(cluster.look().is_some(), "the API answers");
    server.signal(Signal::CONT).unwrap();
    until("all members to be ACTIVE", || cluster.is_active());
    assert_eq!(world.guests().remove(0).redis, Some(server), "it was neither ended nor replaced");
    cluster.wait_well();
    write_and_read(&cluster.addresses(), "thawed-", 100);
    world.end(EXPECTED);
}

#[test]
fn a_frozen_agent_goes_on_where_it_was() {
    let world = World::embedded(impatient);
    let cluster = world.create("frozen", 3);
    cluster.wait_active();
    let agents: Vec<_> = world.guests().iter().map(|guest| guest.agent.expect("it runs")).collect();
    let thawed = Instant::now() + FROZEN;
    agents[0].signal(Signal::STOP).unwrap();
    write_and_read(&cluster.addresses(), "meanwhile-", 100);
    cluster.grow(1);
    at(thawed);
    agents[0].signal(Signal::CONT).unwrap();
    cluster.wait_members(4);
    let now: Vec<_> = world.guests().iter().filter_map(|guest| guest.agent).collect();
    assert!(agents.iter().all(|agent| now.contains(agent)), "the same agents");
    world.wait_heard_running(4);
    world.end(EXPECTED);
}
