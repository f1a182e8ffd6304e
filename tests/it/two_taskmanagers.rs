//! Two taskmanagers on one database; one is killed in the middle of its work and stays dead: the other finishes it.

use std::time::{Duration, Instant};

use redtrove_testkit::wait_for;

use crate::support::PATIENCE;
use crate::support::clusters::Cluster;
use crate::support::world::{Expected, World, impatient, kill_all};

/// The lease (6 s), the work; on a busy machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(6 + 40);

const EXPECTED: Expected<'_> = &[("is lost", "the broker sees the killed one's connection end")];

#[test]
fn the_work_of_a_dead_taskmanager_is_finished_by_the_other() {
    let mut world = World::with_broker(|options| {
        impatient(options);
        options.taskmanagers = 2;
    });
    // What it was at may have ended a moment before it was killed: then once more.
    let was_at_work = (0..5).any(|round| kill_one_at_work(&mut world, round));
    assert!(was_at_work, "nobody was killed at work");
    world.end(EXPECTED);
}

/// Whether the victim was killed while it was at a task, which the other one finished.
fn kill_one_at_work(world: &mut World, round: usize) -> bool {
    let clusters: Vec<Cluster> = (1..=3).map(|n| world.create(&format!("c{round}-{n}"), 2)).collect();
    // Whoever has work under way is the victim.
    let victim = wait_for("a taskmanager to be at work", PATIENCE, || {
        let tasks = world.tasks(&["list"]);
        let running = tasks.as_array().unwrap().iter().filter(|task| task["state"] == "running");
        Ok(running.filter_map(|task| Some((task["lease_owner"].as_str()?.to_owned(), task["id"].clone()))).next())
    });
    let (victim, task) = victim.unwrap();
    kill_all(&[world.daemon(&victim)]);
    let killed = Instant::now();
    let state = |world: &World| world.tasks(&["show", task.as_str().unwrap()])["task"]["state"].clone();
    let was_at_work = state(world) == "running";
    for cluster in &clusters {
        cluster.wait_active_within(TAKEN_OVER_WITHIN.saturating_sub(killed.elapsed()));
        cluster.assert_slots_even();
    }
    let survivor = if victim == "taskmanager" { "taskmanager-2" } else { "taskmanager" };
    assert!(world.daemon(&victim).is_gone() && !world.daemon(survivor).is_gone());
    assert_eq!(state(world), "succeeded");
    let taken = format!("task {} succeeded", task.as_str().unwrap());
    let has_finished = world.log(survivor).iter().any(|line| line.message.starts_with(&taken));
    assert!(has_finished || !was_at_work, "the survivor finished {task}");
    if !was_at_work {
        world.stack().start_again(&victim).unwrap();
    }
    was_at_work
}
