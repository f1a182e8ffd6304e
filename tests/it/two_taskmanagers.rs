//! Two taskmanagers on one database; one is killed in the middle of its work and stays dead: the other finishes it.

use std::time::{Duration, Instant};

use redtrove_testkit::wait_for;

use crate::support::PATIENCE;
use crate::support::clusters::Cluster;
use crate::support::world::{Expected, World, impatient, kill_all};

/// The lease, the look of the sweeper for what nobody holds (5 s with a broker), the work.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(3 + 5 + 10);

const EXPECTED: Expected<'_> = &[("is lost", "the broker sees the killed one's connection end")];

#[test]
fn the_work_of_a_dead_taskmanager_is_finished_by_the_other() {
    let world = World::with_broker(|options| {
        impatient(options);
        options.taskmanagers = 2;
    });
    let clusters: Vec<Cluster> = (1..=3).map(|n| world.create(&format!("c{n}"), 2)).collect();
    // Whoever has work under way is the victim.
    let victim = wait_for("a taskmanager to be at work", PATIENCE, || {
        let tasks = world.tasks(&["list"]);
        let running = tasks.as_array().unwrap().iter().filter(|task| task["state"] == "running");
        Ok(running.filter_map(|task| Some((task["lease_owner"].as_str()?.to_owned(), task["id"].clone()))).next())
    });
    let (victim, task) = victim.unwrap();
    kill_all(&[world.daemon(&victim)]);
    let killed = Instant::now();
    for cluster in &clusters {
        cluster.wait_active_within(TAKEN_OVER_WITHIN.saturating_sub(killed.elapsed()));
        cluster.assert_slots_even();
    }
    let survivor = if victim == "taskmanager" { "taskmanager-2" } else { "taskmanager" };
    assert!(world.daemon(&victim).is_gone() && !world.daemon(survivor).is_gone());
    let taken = format!("task {} succeeded", task.as_str().unwrap());
    assert!(world.log(survivor).iter().any(|line| line.message.starts_with(&taken)), "the survivor finished {task}");
    world.end(EXPECTED);
}
