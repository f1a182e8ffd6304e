//! `doctor` beside running daemons: nothing is wrong with a sound stack; what is broken in rows is
//! found, and put right where that can be done.

use std::process::{Command, Stdio};

use redtrove_testkit::stack::Binaries;
use serde_json::Value;

use crate::support::world::World;

/// The exit code, and the kinds of what was found with whether they were fixed.
fn doctor(world: &World, more: &[&str]) -> (i32, Vec<(String, bool)>) {
    let mut command = Command::new(Binaries::beside_test().unwrap().taskmanager);
    command.arg("--config").arg(world.layout().config("taskmanager"));
    let output = command.args(["doctor", "--json"]).args(more).stdin(Stdio::null()).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let mut found: Vec<(String, bool)> = said["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["kind"].as_str().unwrap().to_owned(), finding["fixed"] == true))
        .collect();
    found.sort();
    (output.status.code().unwrap(), found)
}

#[test]
fn what_is_broken_is_found_and_put_right() {
    let world = World::embedded(|_| {});
    let cluster = world.create("c", 2);
    assert_eq!(doctor(&world, &[]), (0, vec![]), "a create under way is no finding");
    cluster.wait_active();
    assert_eq!(doctor(&world, &[]), (0, vec![]));

    let database = world.database();
    database.number(
        "UPDATE clusters SET task = 'GROWING_CLUSTER', operation = '01900000-0000-7000-8000-00000000dead' RETURNING 1",
    );
    database.number("UPDATE quota_usages SET in_use = in_use + 5 WHERE resource = 'instances' RETURNING 1");
    let broken = |fixed| ["cluster_without_task", "usage"].map(|kind| (kind.to_owned(), fixed)).to_vec();
    assert_eq!(doctor(&world, &[]), (1, broken(false)));
    assert_eq!(doctor(&world, &[]), (1, broken(false)), "a look changes nothing");
    assert_eq!(doctor(&world, &["--fix"]), (0, broken(true)));
    assert_eq!(doctor(&world, &[]), (0, vec![]));
    let shown = cluster.look().unwrap();
    assert_eq!(
        (shown["task"]["name"].as_str(), shown["fault"]["message"].as_str()),
        (Some("NONE"), Some("The operation was lost."))
    );
    cluster.delete();
    cluster.wait_gone();
    world.end(&[]);
}
