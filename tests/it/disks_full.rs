//! Disks that are full: the database's, and the guests'. What needs room is refused as something that passes, or
//! waits, and all of it goes on when there is room, without a restart of any daemon.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use redtrove_testkit::SmallDisk;
use redtrove_testkit::stack::Db;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clusters::{Cluster, ask};
use crate::support::database::Database;
use crate::support::keys::write_and_read;
use crate::support::raw_http::{is_unavailable, send, status};
use crate::support::world::{Expected, World, impatient};
use crate::support::{at, leftovers, until};

/// For how long things are looked at that have to stay as they are.
const A_WHILE: Duration = Duration::from_secs(8);

const EXPECTED_OF_THE_DATABASE: Expected<'_> =
    &[("a request is refused", "there is no room"), ("is full", "so it is"), ("No space left", "so the kernel says")];

#[test]
fn a_full_disk_of_the_database_is_told_of_and_what_was_under_way_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&place.path().join("disk"), 240).unwrap() else { return };
    let mut world = World::embedded(|options| {
        options.db = Db::MariaDb;
        options.mariadb_dir = Some(disk.place().join("mariadb"));
        // One runner, which has one task as long as that does not end; its lease outlasts the time without room.
        let settings = json!({"agent_heartbeat_time": 1, "lease_seconds": 600, "max_running_tasks": 1});
        options.taskmanager = json!({"taskmanager": settings});
    });
    let there = world.create("there", 2);
    there.wait_active();
    let taskmanager = world.daemon("taskmanager");
    let daemons = ["api", "taskmanager", "mariadb"].map(|name| world.daemon(name));
    let under_way = paused_in_the_middle(&world);
    let filler = world.create("filler", 1);
    let database = world.database();

    disk.fill().unwrap();
    let mut clusters = ask_until_refused(&mut world);
    clusters.extend([there.clone(), under_way.clone(), filler.clone()].map(|cluster| cluster.path()));
    // The same for the log of steps: first no page is left, then no room on the page of the task that is under way.
    for task in [&filler.task, &under_way.task] {
        let refused = until_refused(&database, task);
        assert!(refused.contains("full"), "{refused}");
    }

    taskmanager.signal(Signal::CONT).unwrap();
    until("the taskmanager to find no room", || {
        world.log("taskmanager").iter().any(|line| line.text.contains("trying again") && line.text.contains("full"))
    });
    let begun = Instant::now();
    while begun.elapsed() < A_WHILE {
        assert_answers(&mut world, &there, &under_way);
        let state = database.text("SELECT CONCAT_WS(' ', state, fault) FROM tasks WHERE id = ?", &under_way.task);
        assert_eq!(state.as_deref(), Some("running"), "it waits");
        at(Instant::now() + Duration::from_millis(300));
    }

    disk.make_room().unwrap();
    under_way.wait_active();
    under_way.assert_slots_even();
    let after = world.create("after", 1);
    clusters.push(after.path());
    assert_eq!(["api", "taskmanager", "mariadb"].map(|name| world.daemon(name)), daemons);
    assert!(daemons.iter().all(|daemon| !daemon.is_gone()), "no daemon has ended");
    world.check_logs(EXPECTED_OF_THE_DATABASE);
    for path in &clusters {
        assert_eq!(world.client().delete(path).unwrap().status, 202);
    }
    until("all clusters to be gone", || database.number("SELECT COUNT(*) FROM clusters WHERE deleted = 0") == 0);
    drop(database);
    leftovers::assert_none(&world);
    world.end(EXPECTED_OF_THE_DATABASE);
}

/// A cluster whose create has begun some steps, and whose taskmanager is paused in it. One that had ended before is
/// deleted, and another is made.
fn paused_in_the_middle(world: &World) -> Cluster {
    let database = world.database();
    let begun = "SELECT CAST(COUNT(*) AS CHAR) FROM task_steps WHERE task_id = ?";
    for _ in 0..10 {
        let cluster = world.create("under-way", 3);
        until("the create to be in its middle", || {
            database.text(begun, &cluster.task).is_some_and(|count| count.parse::<usize>().unwrap() >= 4)
        });
        world.daemon("taskmanager").signal(Signal::STOP).unwrap();
        if database.text("SELECT state FROM tasks WHERE id = ?", &cluster.task).as_deref() == Some("running") {
            return cluster;
        }
        world.daemon("taskmanager").signal(Signal::CONT).unwrap();
        cluster.delete();
        cluster.wait_gone();
    }
    panic!("no create was caught in the middle in ten attempts");
}

/// Asks for clusters until that is refused for want of room; the paths of those that were taken.
fn ask_until_refused(world: &mut World) -> Vec<String> {
    let description = world.stack().description().clone();
    let mut taken = Vec::new();
    loop {
        let answer = send(&description, "POST", "/clusters", Some(&ask(&format!("taken-{}", taken.len()), 1)));
        if is_unavailable(&answer) {
            return taken;
        }
        assert_eq!(status(&answer), 202, "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        taken.push(format!("/clusters/{}", body["cluster"]["id"].as_str().unwrap()));
        assert!(taken.len() < 2_000, "the disk is full, and yet there is room");
    }
}

/// Has a task begin steps until the database has no room for them; its words.
fn until_refused(database: &Database, task: &str) -> String {
    let next = "INSERT INTO task_steps (task_id, seq, name, started) \
                SELECT t.id, (SELECT COALESCE(MAX(s.seq), 0) + 1 FROM task_steps s WHERE s.task_id = t.id), 'filler', 0 \
                FROM tasks t WHERE t.id = ?";
    let refused = (0..100_000).find_map(|_| database.change(next, task).err());
    refused.expect("the disk is full, and yet there is room").to_string()
}

/// Reads are answered with the truth, or not at all; creates are refused.
fn assert_answers(world: &mut World, there: &Cluster, under_way: &Cluster) {
    let description = world.stack().description().clone();
    for (path, words) in [
        (there.path(), "\"name\":\"NONE\""),
        (under_way.path(), "\"name\":\"BUILDING\""),
        ("/clusters".to_owned(), "\"clusters\""),
    ] {
        let answer = send(&description, "GET", &path, None);
        let is_right = status(&answer) == 200 && answer.replace(": ", ":").contains(words);
        assert!(is_right || is_unavailable(&answer), "{path}: {answer}");
    }
    let answer = send(&description, "POST", "/clusters", Some(&ask("never", 1)));
    assert!(is_unavailable(&answer), "{answer}");
}

const EXPECTED_OF_GUESTS: Expected<'_> = &[
    ("redis-server will be started again", "it ends where it cannot write"),
    ("redis-server does not answer", "so it does not meanwhile"),
    ("no space is left", "the disk is full"),
    ("No space left", "so the kernel says"),
];

#[test]
fn a_full_disk_of_guests_holds_operations_up_until_there_is_room() {
    let world = World::embedded(impatient);
    let Some(disk) = put_on_small_disk(&world) else { return world.end(&[]) };
    let cluster = world.create("full", 3);
    cluster.wait_active();

    disk.fill().unwrap();
    cluster.grow(1);
    wait_held_up(&world, &cluster);
    disk.make_room().unwrap();
    cluster.wait_members(4);

    cluster.drain_last();
    let leaver = cluster.member_ids().pop().unwrap();
    disk.fill().unwrap();
    let asked = cluster.clone();
    let answer = std::thread::spawn(move || asked.shrink(&[leaver]).status);
    wait_held_up(&world, &cluster);
    disk.make_room().unwrap();
    assert_eq!(answer.join().unwrap(), 202);
    cluster.wait_members(3);
    cluster.wait_well();
    write_and_read(&cluster.addresses(), "after-", 100);

    world.check_logs(EXPECTED_OF_GUESTS);
    cluster.delete();
    cluster.wait_gone();
    until("what was removed to be forgotten", || world.database().number("SELECT COUNT(*) FROM removed_nodes") == 0);
    leftovers::assert_none(&world);
    drop(disk);
    world.end(EXPECTED_OF_GUESTS);
}

/// Puts the directory of the provider, which has made nothing yet, on a small disk.
fn put_on_small_disk(world: &World) -> Option<SmallDisk> {
    let (instances, aside) = (world.layout().instances(), world.layout().dir().join("instances-aside"));
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    copy(&instances, &aside);
    let disk = SmallDisk::mount(&instances, 64).unwrap()?;
    copy(&aside.join("."), &instances);
    Some(disk)
}

/// Waits until the newest task of the cluster says that it waits for room, and looks that it goes on waiting.
fn wait_held_up(world: &World, cluster: &Cluster) {
    let newest = || world.tasks(&["list", "--cluster", &cluster.id, "--limit", "1"])[0].clone();
    let mut task = Value::Null;
    until("the operation to wait for room", || {
        task = newest();
        let steps = world.tasks(&["show", task["id"].as_str().unwrap()])["steps"].to_string();
        task["state"] == "running" && steps.to_lowercase().contains("no space")
    });
    at(Instant::now() + A_WHILE);
    assert_eq!((&newest()["id"], &newest()["state"]), (&task["id"], &json!("running")), "it goes on waiting");
}
