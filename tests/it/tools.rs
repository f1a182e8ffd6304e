//! What a tenant's own tools may do: redis-cli checks, reshards and rebalances a cluster of ours; what would break it
//! is refused.

use std::net::SocketAddrV4;

use redtrove_testkit::redis;

use crate::support::clusters::Cluster;
use crate::support::keys;
use crate::support::world::World;

/// Commands that change how nodes belong together, or stop one.
const CLOSED: [&[&str]; 8] = [
    &["cluster", "meet", "127.0.0.1", "6379"],
    &["cluster", "forget", "0000000000000000000000000000000000000000"],
    &["cluster", "reset", "hard"],
    &["cluster", "delslots", "1"],
    &["cluster", "flushslots"],
    &["shutdown", "nosave"],
    &["config", "set", "appendonly", "no"],
    &["replicaof", "127.0.0.1", "6379"],
];

#[test]
fn redis_cli_reshards_and_rebalances_and_breaks_nothing() {
    let world = World::embedded(|_| ());
    let cluster = world.create("handled", 3);
    cluster.wait_active();
    let (members, nodes) = (cluster.addresses(), cluster.node_ids());
    keys::write_and_read(&members, "key-", 300);
    check(members[0]);

    let (from, to) = (["--cluster-from", nodes[0].as_str()], ["--cluster-to", nodes[1].as_str()]);
    manage(members[2], "reshard", &[&from[..], &to, &["--cluster-slots", "500", "--cluster-yes"]].concat());
    cluster.wait_agreement();
    check(members[1]);
    assert_eq!(slots(&cluster), [4962, 5961, 5461], "500 slots went from the first member to the second");
    manage(members[0], "rebalance", &["--cluster-threshold", "1"]);
    cluster.wait_agreement();
    check(members[2]);
    let spread = slots(&cluster);
    assert!(spread.iter().all(|count| (5_400..=5_520).contains(count)), "{spread:?}");

    for words in CLOSED {
        let error = redis::cli(members[0], &[], words).unwrap_err().to_string();
        assert!(error.contains("NOPERM"), "{words:?}: {error}");
    }
    assert_eq!(keys::missing(&members, "key-", &(0..300).collect::<Vec<_>>()), Vec::<u64>::new());
    cluster.wait_active();
    world.end(&[]);
}

/// `redis-cli --cluster <verb> <member> <options>`, as a tenant.
fn manage(member: SocketAddrV4, verb: &str, options: &[&str]) -> String {
    let at = member.to_string();
    let words = [&["--cluster", verb, &at], options].concat();
    redis::cli(member, &[], &words).unwrap()
}

fn check(member: SocketAddrV4) {
    let said = manage(member, "check", &[]);
    assert!(said.contains("All nodes agree about slots") && said.contains("All 16384 slots covered"), "{said}");
}

/// How many slots each member has, as the first one sees it, in member order.
fn slots(cluster: &Cluster) -> Vec<u32> {
    let map = cluster.slot_map();
    let of = |member: &SocketAddrV4| {
        let own = map.iter().filter(|(_, _, address)| *address == member.ip().to_string());
        own.map(|(first, last, _)| last - first + 1).sum()
    };
    cluster.addresses().iter().map(of).collect()
}
