//! A member that was away during a shrink comes back when the others have stopped refusing to hear of the removed node:
//! it does not bring it back, and only then is the removed node's address free.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use redtrove_testkit::redis;
use rustix::process::Signal;
use serde_json::json;

use crate::support::world::{Expected, World, impatient, kill_all};
use crate::support::{until, within};

/// Redis refuses to hear of a forgotten node for a minute.
const BAN: Duration = Duration::from_secs(62);

const EXPECTED: Expected<'_> = &[("silent", "the story pauses a node")];

#[test]
fn a_member_that_was_away_does_not_bring_a_removed_node_back() {
    let mut world = World::embedded(|options| {
        impatient(options);
        options.taskmanager["taskmanager"]["agent_call_low_timeout"] = json!(6);
        options.taskmanager["compute"] = json!({"local": {"supervise": false}});
    });
    let cluster = world.create("away", 4);
    cluster.wait_active();
    let (members, ids) = (cluster.addresses(), cluster.member_ids());
    let removed = cluster.node_ids().pop().unwrap();
    cluster.drain_last();

    let away = world.guests().into_iter().find(|guest| guest.id == ids[1]).unwrap();
    let signal = |signal: Signal| {
        for process in [&away.agent, &away.redis].into_iter().flatten() {
            process.signal(signal).unwrap();
        }
    };
    signal(Signal::STOP);
    let answer = cluster.shrink(&ids[3..]);
    assert_eq!(answer.status, 202, "one that is away keeps nobody: {answer:?}");
    until("the member to be gone", || {
        cluster.look().is_some_and(|shown| shown["task"]["id"] == 1) && cluster.member_ids().len() == 3
    });
    let forgotten = Instant::now();
    let database = world.database();
    assert_eq!(database.number("SELECT COUNT(*) FROM forget_debts"), 1, "the one that is away owes");

    // Whoever starts meanwhile, and looks at what there is, lets it be.
    kill_all(&[world.daemon("taskmanager")]);
    world.stack().start_again("taskmanager").unwrap();
    let link = world.layout().instances().join(".address").join(members[3].ip().to_string());
    let is_held = || fs::read_link(&link).is_ok_and(|holder| holder == Path::new(&ids[3]));

    within("the others to listen again", BAN * 2, || forgotten.elapsed() >= BAN);
    let knows = |member: usize| redis::cli(members[member], &[], &["cluster", "nodes"]).unwrap().contains(&removed);
    assert!(!knows(0) && !knows(2));
    signal(Signal::CONT);
    until("the member that came back to pay", || database.number("SELECT COUNT(*) FROM forget_debts") == 0);
    let paid = Instant::now();
    assert!(is_held(), "the address is held until the second look");
    assert_eq!(database.number("SELECT COUNT(*) FROM removed_nodes"), 1);
    within("the address to be free", Duration::from_secs(120), || {
        database.number("SELECT COUNT(*) FROM removed_nodes") == 0
    });
    assert!(paid.elapsed() > Duration::from_secs(60), "{:?}", paid.elapsed());
    until("the address to be given back", || !link.is_symlink());
    assert!((0..3).all(|member| !knows(member)), "nobody knows the removed node");
    cluster.wait_members(3);
    world.end(EXPECTED);
}
