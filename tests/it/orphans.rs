//! Machines that no row wants, with agents and servers that run: listed, kept for their time, removed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use redtrove_testkit::stack::Guest;
use serde_json::json;

use crate::support::leftovers::assert_none;
use crate::support::world::World;
use crate::support::{at, until};

/// An instance that no row knows.
const STRANGER: &str = "6bdc9ae4-5d4e-4ad1-9a0f-0b7a1e1c2d3f";

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Brings a guest back whose cluster was deleted: its directory and its address; the provider starts its agent, and
/// that its server.
fn bring_back(world: &World, guest: &Guest, copy_of: &Path) {
    symlink(&guest.id, world.layout().instances().join(".address").join(&guest.ip)).unwrap();
    copy(copy_of, &guest.dir);
    until("the agent and its server to run", || {
        world.guests().iter().any(|found| found.id == guest.id && found.agent.is_some() && found.redis.is_some())
    });
}

#[test]
fn a_machine_that_no_row_wants_is_listed_and_removed_when_its_time_is_over() {
    let world = World::embedded(|options| {
        options.taskmanager = json!({"taskmanager": {
            "agent_heartbeat_time": 1, "deleted_machine_grace": 5, "unknown_machine_grace": 0,
        }});
    });
    let cluster = world.create("c", 2);
    cluster.wait_active();
    let guest = world.guests().remove(0);
    let place = tempfile::tempdir().unwrap();
    let kept = place.path().join("machine");
    copy(&guest.dir, &kept);
    cluster.delete();
    cluster.wait_gone();
    assert_none(&world);

    bring_back(&world, &guest, &kept);
    until("the machine of a deleted instance to be removed", || {
        let said = world.log("taskmanager");
        said.iter().any(|line| line.message.contains(&guest.id) && line.message.contains("which no row wants"))
    });
    assert_none(&world);

    // What no row has ever known may be somebody's data: without a time it is only complained of.
    let stranger = world.layout().instances().join(STRANGER);
    copy(&kept, &stranger);
    until("the stranger to be listed", || world.metric("taskmanager", "redtrove_orphans") == Some(1.0));
    at(Instant::now() + Duration::from_secs(8));
    assert!(stranger.join("machine.json").exists(), "nobody has allowed that");
    // Whoever looks after agents may be writing there.
    until("the stranger to be removed", || fs::remove_dir_all(&stranger).is_ok() || !stranger.exists());
    let lock = world.layout().instances().join(".lock").join(STRANGER);
    if lock.exists() {
        fs::remove_file(lock).unwrap();
    }
    until("the stranger to be forgotten", || world.metric("taskmanager", "redtrove_orphans") == Some(0.0));
    assert_none(&world);
    world.end(&[
        ("which no row wants", "the machine that was brought back"),
        ("that no row knows", "the stranger"),
        ("had ended: started it again", "agents of machines that were put there by hand"),
    ]);
}
