//! kill -9 of one redis-server that syncs every write: its agent starts it again, the status says so, and every
//! acknowledged key is still there.

use crate::support::keys::{Writer, missing};
use crate::support::until;
use crate::support::world::{Expected, World, kill_all};

const EXPECTED: Expected<'_> = &[("redis-server will be started again", "the story kills it")];

#[test]
fn a_killed_redis_server_comes_back_with_every_acknowledged_key() {
    let world = World::embedded(|_| ());
    let cluster = world.create_synced("synced", 3);
    cluster.wait_active();
    let members = cluster.addresses();
    let nodes = cluster.node_ids();
    let victim = world.guests().remove(0);

    let writer = Writer::start(members.clone(), "synced-");
    writer.wait_for_more(200);
    // At first it is back faster than members are looked at; who is killed again and again is started again with pauses
    // that double, and soon one is longer than the second between two looks.
    until("the status to show that a server is down", || {
        let server = world.guests().into_iter().find(|guest| guest.id == victim.id).and_then(|guest| guest.redis);
        kill_all(&server.into_iter().collect::<Vec<_>>());
        cluster.statuses().iter().any(|status| status == "SHUTDOWN")
    });
    cluster.wait_active();
    writer.wait_for_more(200);
    let written = writer.stop();
    assert!(!written.errors.is_empty(), "a client that writes all the time notices the death of a server");
    assert_eq!(missing(&members, "synced-", &written.acknowledged), Vec::<u64>::new());
    assert_eq!(cluster.node_ids(), nodes, "the same nodes");
    cluster.assert_slots_even();
    world.end(EXPECTED);
}
