//! The commands of the user guide, as they stand there.

use redtrove_testkit::redis;
use serde_json::{Value, json};

use super::cli::Cli;
use super::walk::wait_gone;
use crate::support::world::World;

const GUIDE: &str = include_str!("../../../docs/user-guide.md");
/// The section of the guide with the commands, and the heading within that comes after all but the last.
const STORY: (&str, &str) = ("## A cluster's life, in commands", "### Delete");

pub(super) fn all(world: &World, member: &Cli) {
    let (_, story) = GUIDE.split_once(STORY.0).expect("a story in the guide");
    let story = story.split("\n## ").next().unwrap();
    let (life, end) = story.split_once(STORY.1).expect("an end of the story");

    // A tenth of the guide's keys tells as much in a test.
    let said = member.shell(&commands(life).replace("seq 100000", "seq 10000"));
    let mut rest = said.as_str();
    for next in [
        "redtrove.tiny",
        "orders-member-4",
        "10000 keys in 4 masters",
        "10000 keys in 6 masters",
        "10000 keys in 5 masters",
    ] {
        (_, rest) = rest.split_once(next).unwrap_or_else(|| panic!("no {next:?} where it should be: {said}"));
    }
    // Complaints come last: one command was refused, and nothing else went wrong.
    let complaint = "One or more nodes have data slots assigned: orders-member-6. (HTTP 403)";
    assert_eq!(rest.lines().filter(|line| line.contains("(HTTP ")).collect::<Vec<_>>(), [complaint], "{said}");
    assert!(!rest.contains("rror"), "{said}");
    assert!(GUIDE.contains(complaint));

    let shown = &world.client().get("/clusters").unwrap().body["clusters"][0];
    let id = shown["id"].as_str().unwrap();
    assert_every_node_knows(world, id, 5);
    assert_eq!(member.shell(&commands(end)), "");
    wait_gone(world, id);
}

/// The indented blocks of a text.
fn commands(text: &str) -> String {
    text.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

/// All nodes know just these many, and all of those are well: no one lists who was removed.
fn assert_every_node_knows(world: &World, id: &str, count: usize) {
    let cluster = world.client().get(&format!("/clusters/{id}")).unwrap().body["cluster"].clone();
    assert_eq!((&cluster["task"]["name"], cluster.get("fault")), (&json!("NONE"), None::<&Value>));
    let members = cluster["ip"].as_array().unwrap();
    assert_eq!(members.len(), count);
    for member in members {
        let at = std::net::SocketAddrV4::new(member.as_str().unwrap().parse().unwrap(), redis::PORT);
        let nodes = redis::cli(at, &[], &["cluster", "nodes"]).unwrap();
        assert_eq!(nodes.lines().filter(|node| node.contains(" connected")).count(), count, "{at}: {nodes}");
        assert_eq!(nodes.lines().count(), count, "{at}: {nodes}");
    }
}
