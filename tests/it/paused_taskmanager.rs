//! A taskmanager is paused in the middle of its work, for longer than its lease. Another one takes over and finishes. The
//! paused one is woken, goes on where it was, and changes nothing: not in the database, not on any node.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use redtrove_core::topology::{NodeLine, parse_nodes};
use redtrove_testkit::stack::Db;
use redtrove_testkit::{redis, wait_for};
use rustix::process::Signal;
use serde_json::json;

use crate::support::clusters::Cluster;
use crate::support::world::{Expected, World, impatient};
use crate::support::{at, leftovers, until};

/// The lease, and the work, on a busy machine.
const FINISHED_WITHIN: Duration = Duration::from_secs(15);

const EXPECTED: Expected<'_> = &[
    ("its lease ran out", "the story pauses it for longer"),
    ("was deleted before", "the paused one made a machine that another had removed meanwhile"),
];

/// The stack's taskmanagers.
const DAEMONS: [&str; 2] = ["taskmanager", "taskmanager-2"];

/// How many steps the log has when the taskmanager is paused: after machines were made, as the local provider lets nobody
/// else at a machine meanwhile.
const MOMENTS_OF_A_CREATE: [usize; 3] = [4, 9, 13];
const MOMENTS_OF_A_GROW: [usize; 2] = [3, 6];
const MOMENTS_OF_A_SHRINK: [usize; 3] = [1, 2, 3];

#[test]
fn a_taskmanager_that_was_paused_past_its_lease_changes_nothing() {
    let world = World::embedded(|options| {
        impatient(options);
        options.taskmanager["taskmanager"]["lease_seconds"] = json!(3);
        options.taskmanagers = 2;
        options.db = Db::MariaDb;
    });
    let first = retried(&world, |world| {
        let cluster = world.create("making-machines", 3);
        (pause(world, &cluster, &cluster.task, 1) != Caught::TooLate, cluster)
    });
    first.wait_active();
    first.assert_slots_even();
    first.delete();
    first.wait_gone();
    for steps in MOMENTS_OF_A_CREATE {
        let cluster = retried(&world, |world| {
            let cluster = world.create("created", 3);
            (pause(world, &cluster, &cluster.task, steps) == Caught::TakenOver, cluster)
        });
        cluster.wait_active();
        cluster.assert_slots_even();
        cluster.delete();
        cluster.wait_gone();
    }
    for steps in MOMENTS_OF_A_GROW {
        let cluster = retried(&world, |world| {
            let cluster = world.create("grown", 2);
            cluster.wait_active();
            cluster.grow(2);
            (pause(world, &cluster, &operation(world, &cluster), steps) == Caught::TakenOver, cluster)
        });
        cluster.wait_members(4);
        cluster.delete();
        cluster.wait_gone();
    }
    for steps in MOMENTS_OF_A_SHRINK {
        let cluster = retried(&world, |world| {
            let cluster = world.create("shrunk", 3);
            cluster.wait_active();
            cluster.drain_last();
            let leaver = cluster.member_ids().pop().unwrap();
            // The answer waits for the verdict, which the one that takes over gives.
            let asked = cluster.clone();
            let answer = std::thread::spawn(move || asked.shrink(&[leaver]));
            let paused = pause(world, &cluster, &operation(world, &cluster), steps);
            assert_eq!(answer.join().unwrap().status, 202);
            (paused == Caught::TakenOver, cluster)
        });
        cluster.wait_members(2);
        cluster.delete();
        cluster.wait_gone();
        // Else it goes while the next one is looked at.
        let removed = || world.database().number("SELECT COUNT(*) FROM removed_nodes");
        until("what was removed to be forgotten", || removed() == 0);
    }
    leftovers::assert_none(&world);
    world.end(EXPECTED);
}

/// A task may have ended before it was caught; then all of it is done again, with another cluster.
fn retried(world: &World, attempt: impl Fn(&World) -> (bool, Cluster)) -> Cluster {
    for _ in 0..10 {
        match attempt(world) {
            (true, cluster) => return cluster,
            (false, cluster) => {
                cluster.wait_calm();
                cluster.delete();
                cluster.wait_gone();
            }
        }
    }
    panic!("no task was caught in the middle in ten attempts");
}

/// The newest task of a cluster.
fn operation(world: &World, cluster: &Cluster) -> String {
    let mut task = None;
    until("the operation to begin", || {
        let tasks = world.tasks(&["list", "--cluster", &cluster.id, "--limit", "1"]);
        task = tasks[0]["id"].as_str().filter(|id| *id != cluster.task).map(str::to_owned);
        task.is_some()
    });
    task.unwrap()
}

/// What a taskmanager that was paused was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    /// Nothing any more: the task had ended.
    TooLate,
    /// A machine, which nobody else could get at before it was woken.
    AtAMachine,
    /// The task, which another one ended.
    TakenOver,
}

/// Pauses whoever works on a task when it has begun so many steps, until another one has ended it, and wakes it.
fn pause(world: &World, cluster: &Cluster, task: &str, steps: usize) -> Caught {
    let database = world.database();
    let owner = || database.text("SELECT lease_owner FROM tasks WHERE id = ?", task);
    let begun = || database.text("SELECT CAST(COUNT(*) AS CHAR) FROM task_steps WHERE task_id = ?", task);
    let lost = |name: &str| world.metric(name, "redtrove_tasks_lost_total").unwrap_or_default();
    let lost_before = DAEMONS.map(|name| (name, lost(name)));
    until("the task to be in the middle", || begun().is_some_and(|count| count.parse::<usize>().unwrap() >= steps));
    let Some(name) = owner() else { return Caught::TooLate };
    let paused = world.daemon(&name);
    paused.signal(Signal::STOP).unwrap();
    let state = || database.text("SELECT state FROM tasks WHERE id = ?", task);
    if owner().as_deref() != Some(&*name) || state().as_deref() != Some("running") {
        paused.signal(Signal::CONT).unwrap();
        return Caught::TooLate;
    }
    let finished = || Ok((state().as_deref() == Some("succeeded")).then_some(()));
    if wait_for("another one to finish", FINISHED_WITHIN, finished).is_err() {
        // It was paused while it was at a machine. Woken, it lets the other one go on.
        paused.signal(Signal::CONT).unwrap();
        cluster.wait_active();
        let attempt = database.text("SELECT CAST(attempt AS CHAR) FROM tasks WHERE id = ?", task);
        assert_ne!(attempt.as_deref(), Some("1"), "another one had claimed it");
        return Caught::AtAMachine;
    }
    cluster.wait_active();

    let before = look(world, cluster);
    paused.signal(Signal::CONT).unwrap();
    until("the woken one to find its lease lost", || {
        lost_before.iter().any(|(one, before)| *one == name && lost(one) > *before)
            && world.metric(&name, "redtrove_tasks_running") == Some(0.0)
    });
    // Two rounds of the monitor and ten sweeps, in which it could still do something.
    at(Instant::now() + Duration::from_secs(2));
    assert_eq!(look(world, cluster), before, "the paused one changed something");
    Caught::TakenOver
}

/// All that a late writer could change.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    rows: Vec<(String, Option<String>)>,
    generations: BTreeMap<String, String>,
    nodes: Vec<String>,
}

fn look(world: &World, cluster: &Cluster) -> Look {
    let database = world.database();
    let questions = [
        "SELECT id, CONCAT_WS('|', task, operation, fault, lease_token, deleted) FROM clusters ORDER BY id",
        "SELECT id, CONCAT_WS('|', lifecycle, ip, node_id, first_slot, last_slot, fault) FROM instances ORDER BY id",
        "SELECT id, CONCAT_WS('|', state, verdict, step, progress, attempt, lease_token, fault, ended) FROM tasks ORDER BY id",
        "SELECT CONCAT(task_id, seq), CONCAT_WS('|', name, subject, outcome, error, started, ended) FROM task_steps ORDER BY 1",
        "SELECT CONCAT(project_id, resource), CONCAT(in_use) FROM quota_usages ORDER BY 1",
        "SELECT CONCAT(node_id, cluster_id), instance_id FROM removed_nodes ORDER BY 1",
    ];
    // A machine that the paused one made late has no such file, and is nobody's member.
    let generation = |dir: &std::path::Path| fs::read_to_string(dir.join("node/generation")).ok();
    let view = |at| {
        let mut nodes = parse_nodes(&redis::cli(at, &[], &["cluster", "nodes"]).unwrap()).unwrap();
        nodes.sort_by_key(|node| node.id);
        // Masters without slots settle by themselves, and late, who of them has which epoch.
        let epoch = |node: &NodeLine| (!node.slots.is_empty()).then_some(node.config_epoch);
        nodes.iter().map(|node| format!("{at} {} {:?} {:?}", node.id, epoch(node), node.slots)).collect::<Vec<_>>()
    };
    Look {
        rows: questions.into_iter().flat_map(|question| database.pairs(question)).collect(),
        generations: world.guests().into_iter().filter_map(|guest| Some((guest.id, generation(&guest.dir)?))).collect(),
        nodes: cluster.addresses().into_iter().flat_map(view).collect(),
    }
}
