//! Daemons that are told to stop (SIGTERM) while they work: they end within seconds, and what they were at goes on
//! without anybody waiting for a lease.

use std::time::{Duration, Instant};

use redtrove_testkit::wait_for;
use rustix::process::Signal;

use crate::support::clusters::Cluster;
use crate::support::world::World;
use crate::support::{PATIENCE, within};

/// What a step has to come to its end; it is cut off then.
const LAST_STEP: Duration = Duration::from_secs(5);
/// The last step, the task's return (3 s) and the rest (1 s); on a busy machine.
const STOPS_WITHIN: Duration = Duration::from_secs(18);
/// Less than the lease of 30 s that nobody has to wait for.
const CLAIMED_WITHIN: Duration = Duration::from_secs(25);

#[test]
fn a_taskmanager_that_stops_hands_its_work_over() {
    let mut world = World::with_broker(|options| options.taskmanagers = 2);
    let clusters: Vec<Cluster> = (1..=3).map(|n| world.create(&format!("c{n}"), 3)).collect();
    let stopped = wait_for("a taskmanager to be at work", PATIENCE, || {
        let tasks = world.tasks(&["list"]);
        let running = tasks.as_array().unwrap().iter().filter(|task| task["state"] == "running");
        Ok(running.filter_map(|task| Some((task["lease_owner"].as_str()?.to_owned(), task["id"].clone()))).next())
    });
    let (name, task) = stopped.unwrap();
    let process = world.daemon(&name);
    let asked = Instant::now();
    process.signal(Signal::TERM).unwrap();
    within("the taskmanager to end in order", STOPS_WITHIN, || process.is_gone());
    let had_to_cut_off = asked.elapsed() >= LAST_STEP;
    let goes_on = || {
        let task = world.tasks(&["show", task.as_str().unwrap()])["task"].clone();
        task["state"] == "succeeded" || task["attempt"].as_u64().is_some_and(|attempt| attempt > 1)
    };
    within("somebody to go on with its task", CLAIMED_WITHIN.saturating_sub(asked.elapsed()), goes_on);
    for cluster in &clusters {
        cluster.wait_active();
        cluster.assert_slots_even();
    }
    let shown = world.tasks(&["show", task.as_str().unwrap()]);
    let steps = shown["steps"].as_array().unwrap();
    // One that was cut off may have done its work: then nobody does it again, and it stays as it is.
    let are_ended = steps.iter().all(|step| !step["ended"].is_null());
    assert!(are_ended || had_to_cut_off, "every step that had time to end has ended: {steps:#?}");
    assert!(world.log(&name).iter().any(|line| line.message.ends_with("has stopped")), "it says so");
    world.stack().start_again(&name).unwrap();
    world.end(&[]);
}

#[test]
fn an_api_that_stops_ends_within_seconds_and_leaves_its_tasks_to_others() {
    let mut world = World::with_broker(|_| {});
    let cluster = world.create("c", 2);
    let process = world.daemon("api");
    process.signal(Signal::TERM).unwrap();
    within("the api to end in order", STOPS_WITHIN, || process.is_gone());
    world.stack().start_again("api").unwrap();
    cluster.wait_active();
    world.end(&[]);
}
