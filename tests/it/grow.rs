//! A cluster grows while a client writes to it, is rebalanced with redis-cli, and grows again after a grow that failed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use redtrove_testkit::redis;
use serde_json::json;

use crate::support::clusters::Cluster;
use crate::support::keys::{self, Writer, missing};
use crate::support::world::{Expected, World};
use crate::support::{leftovers, until};

#[test]
fn a_cluster_grows_while_it_serves() {
    let world = World::with_broker(|_| ());
    let cluster = world.create("growing", 3);
    cluster.wait_active();
    let (members, nodes) = (cluster.addresses(), cluster.node_ids());
    let before = cluster.slot_map();

    let writer = Writer::start(members.clone(), "grown-");
    assert_eq!(cluster.grow(2), ["growing-member-4", "growing-member-5"]);
    let busy = cluster.ask_grow(1);
    assert_eq!((busy.status, &busy.body["unprocessableEntity"]["code"]), (422, &json!(422)), "{busy:?}");
    cluster.wait_members(5);
    assert_eq!(cluster.slot_map(), before, "no slot moved");
    assert_eq!(cluster.node_ids()[..3], nodes);
    for at in cluster.addresses() {
        let info = redis::cli(at, &[], &["cluster", "info"]).unwrap();
        assert!(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:5"), "{at}: {info}");
    }

    let at = members[0].to_string();
    redis::cluster_tool(&["--cluster", "rebalance", &at, "--cluster-use-empty-masters"]).unwrap();
    cluster.wait_agreement();
    redis::cluster_tool(&["--cluster", "check", &at]).unwrap();
    let owners: std::collections::BTreeSet<String> = cluster.slot_map().into_iter().map(|(_, _, ip)| ip).collect();
    assert_eq!(owners.len(), 5, "new members own slots now");
    writer.wait_for_more(100);
    let written = writer.stop();
    assert_eq!(missing(&cluster.addresses(), "grown-", &written.acknowledged), Vec::<u64>::new());

    world.check_logs(&[]);
    cluster.delete();
    cluster.wait_gone();
    leftovers::assert_none(&world);
    world.end(&[]);
}

/// A server that starts unless it is forbidden to.
const SERVER: &str = "#!/bin/sh\n[ -e \"$(dirname \"$0\")/forbidden\" ] && [ \"$1\" != --version ] && exit 1\n\
    exec /usr/bin/redis-server \"$@\"\n";

const EXPECTED: Expected<'_> = &[
    ("redis-server", "the story keeps new ones from starting"),
    ("failed: grow_cluster", "the story has it fail"),
    ("cannot be prepared", "the story keeps new servers from starting"),
];

#[test]
fn a_grow_whose_node_cannot_start_leaves_the_cluster_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let server = place.path().join("redis-server");
    fs::write(&server, SERVER).unwrap();
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
    let world = World::embedded(|options| {
        options.taskmanager = json!({
            "taskmanager": {"agent_heartbeat_time": 1, "usage_timeout": 20},
            "compute": {"local": {"engines": {"redis": server}}},
        });
    });
    let cluster = world.create("unlucky", 3);
    cluster.wait_active();
    let before = cluster.slot_map();
    fs::write(place.path().join("forbidden"), "").unwrap();
    cluster.grow(1);
    until("the grow to fail", || cluster.look().is_some_and(|shown| shown["fault"].is_object()));
    let shown = cluster.look().unwrap();
    assert_eq!(shown["task"]["name"], "NONE", "{shown}");
    until("all but the new one to be ACTIVE", || cluster.statuses() == ["ACTIVE", "ACTIVE", "ACTIVE", "ERROR"]);
    let failed = cluster.member_ids().pop().unwrap();
    assert!(shown["instances"][3]["fault"].is_object(), "{shown}");
    assert_eq!(cluster.slot_map(), before);
    keys::write_and_read(&cluster.addresses()[..3], "unlucky-", 50);

    fs::remove_file(place.path().join("forbidden")).unwrap();
    let answer = cluster.shrink(&[failed]);
    assert_eq!((answer.status, &answer.body), (202, &serde_json::Value::Null), "{answer:?}");
    cluster.wait_members(3);
    assert_eq!(cluster.grow(1), ["unlucky-member-5"], "no name is used again");
    cluster.wait_members(4);
    world.end(EXPECTED);
}

#[test]
fn a_cluster_is_deleted_while_it_grows_or_shrinks() {
    let world = World::embedded(|_| ());
    let [growing, shrinking] = ["growing", "shrinking"].map(|name| world.create(name, 3));
    growing.wait_active();
    shrinking.wait_active();
    growing.grow(2);
    growing.delete();
    shrinking.drain_last();
    let leaver = shrinking.member_ids().pop().unwrap();
    std::thread::scope(|scope| {
        // The answer may be any: the delete comes in between.
        scope.spawn(|| shrinking.shrink(&[leaver]));
        until("the shrink to begin", || shrinking.look().is_some_and(|shown| shown["task"]["id"] != 1));
        shrinking.delete();
    });
    [&growing, &shrinking].into_iter().for_each(Cluster::wait_gone);
    until("held addresses to be free", || world.database().number("SELECT COUNT(*) FROM removed_nodes") == 0);
    leftovers::assert_none(&world);
    world.end(&[("superseded", "the story deletes under an operation")]);
}
