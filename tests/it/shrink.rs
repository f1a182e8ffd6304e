//! A member that owns slots is refused, one that was drained leaves, and so does one that is dead.

use redtrove_testkit::redis;
use serde_json::{Value, json};

use crate::support::clusters::Cluster;
use crate::support::keys;
use crate::support::until;
use crate::support::world::{Expected, World, impatient, kill_all};

fn is_refused(cluster: &Cluster, leavers: &[String], code: u16, name: &str, words: &str) {
    let answer = cluster.shrink(leavers);
    let fault = &answer.body[name];
    assert_eq!((answer.status, &fault["code"]), (code, &json!(code)), "{answer:?}");
    assert!(fault["message"].as_str().unwrap().contains(words), "{answer:?}");
    let shown = cluster.look().unwrap();
    assert_eq!(shown["task"]["name"], "NONE");
    assert!(shown.get("fault").is_none_or(Value::is_null), "{shown}");
}

#[test]
fn members_leave_only_without_slots() {
    let world = World::with_broker(|_| ());
    let (cluster, other) = (world.create("shrinking", 4), world.create("other", 1));
    cluster.wait_active();
    other.wait_active();
    let members = cluster.addresses();
    keys::write_and_read(&members, "kept-", 500);
    let ids = cluster.member_ids();
    let last = ids[3].clone();

    is_refused(&cluster, std::slice::from_ref(&last), 403, "forbidden", "data slots assigned");
    assert_eq!(redis::cli(members[3], &[], &["ping"]).unwrap(), "PONG", "it is open again");
    is_refused(&cluster, &other.member_ids(), 404, "itemNotFound", &other.member_ids()[0]);
    is_refused(&cluster, &ids, 400, "badRequest", "at least one instance");
    is_refused(&cluster, &[], 400, "badRequest", "shrink");

    cluster.drain_last();
    let left = cluster.node_ids().pop().unwrap();
    let answer = cluster.shrink(&[last.clone(), last]);
    assert_eq!((answer.status, &answer.body), (202, &Value::Null), "named twice, it leaves once: {answer:?}");
    cluster.wait_members(3);
    for at in &members[..3] {
        let nodes = redis::cli(*at, &[], &["cluster", "nodes"]).unwrap();
        assert!(!nodes.contains(&left) && nodes.lines().count() == 3, "{at} has forgotten it: {nodes}");
    }
    assert_eq!(keys::missing(&members[..3], "kept-", &(0..500).collect::<Vec<_>>()), Vec::<u64>::new());
    redis::cluster_tool(&["--cluster", "check", &members[0].to_string()]).unwrap();
    let held = "SELECT COUNT(*) FROM removed_nodes";
    assert_eq!(world.database().number(held), 1, "its address is held back");
    world.end(&[]);
}

const EXPECTED: Expected<'_> = &[("silent", "the story kills a node")];

#[test]
fn a_dead_member_without_slots_can_be_removed_and_one_with_slots_cannot() {
    let mut world = World::embedded(|options| {
        impatient(options);
        options.taskmanager["taskmanager"]["agent_call_low_timeout"] = json!(6);
        options.taskmanager["compute"] = json!({"local": {"supervise": false}});
    });
    let cluster = world.create("deadly", 4);
    cluster.wait_active();
    cluster.drain_last();
    let ids = cluster.member_ids();
    let kill = |world: &mut World, id: &str| {
        let guest = world.guests().into_iter().find(|guest| guest.id == id).unwrap();
        kill_all(&[guest.agent, guest.redis].into_iter().flatten().collect::<Vec<_>>());
    };
    kill(&mut world, &ids[3]);
    let answer = cluster.shrink(&ids[3..]);
    assert_eq!(answer.status, 202, "{answer:?}");
    until("the dead member to be gone", || cluster.member_ids().len() == 3);
    cluster.wait_members(3);

    kill(&mut world, &ids[2]);
    let answer = cluster.shrink(&ids[2..3]);
    assert_eq!(answer.status, 403, "the others say that it owns slots: {answer:?}");
    assert_eq!(cluster.member_ids().len(), 3);
    world.end(EXPECTED);
}
