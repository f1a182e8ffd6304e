//! Nothing goes wrong.

use std::time::Duration;

use redtrove_engine::sim::{Chaos, Trouble};
use redtrove_engine::task::{StepOutcome, StepRecord, TaskState};
use redtrove_engine::{Engine, Offered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn clusters_of_every_kind_of_size_form_and_go() {
    for members in [1, 2, 3, 5, 7, 30] {
        let sim = world(members as u64).await;
        let (cluster, task) = submit_create(&sim, members).await;
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
        assert_formed(&sim, cluster, members).await;
        delete_in_calm(&sim, cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_step_log_tells_the_whole_story() {
    let sim = world(1).await;
    let (_, task) = submit_create(&sim, 3).await;
    run_until_ended(&sim, task).await;
    let steps = sim.observer().store.steps(task).await.unwrap();
    let mut names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    names.dedup();
    let want =
        ["ensure_machine", "prepare", "join_fence", "cluster_addslots", "cluster_meet", "verify", "cluster_complete"];
    assert_eq!(names, want);
    assert!(steps.iter().all(|step| step.outcome == Some(StepOutcome::Done) && step.ended >= Some(step.started)));
    assert!(steps.iter().map(|step| step.seq).eq(1..=steps.len() as u64));
    let verify = steps.iter().find(|step| step.name == "verify").unwrap();
    assert_eq!(verify.subject, None, "a wait is about the whole cluster");
    assert_eq!(steps.iter().filter(|step| step.name == "cluster_meet").count(), 3, "each pair once");
}

#[tokio::test(start_paused = true)]
async fn two_clusters_that_form_at_the_same_time_do_not_meet() {
    let sim = world(3).await;
    let (one, first) = submit_create(&sim, 3).await;
    let (other, second) = submit_create(&sim, 5).await;
    run_until_ended(&sim, first).await;
    run_until_ended(&sim, second).await;
    assert_formed(&sim, one, 3).await;
    assert_formed(&sim, other, 5).await;
}

#[tokio::test(start_paused = true)]
async fn messages_may_be_doubled_and_taskmanagers_many() {
    let sim = world(4).await;
    let (cluster, task) = submit_create(&sim, 3).await;
    let engines: Vec<_> =
        ["a", "b", "c"].map(|owner| Engine::new(sim.incarnation(), options(owner), CancellationToken::new())).into();
    // Every one of them hears of the task, twice; none of them sweeps.
    for engine in engines.iter().chain(&engines) {
        engine.offer(task).await.unwrap();
    }
    assert_eq!(ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, cluster, 3).await;
    let row = sim.observer().store.task(task).await.unwrap().unwrap();
    assert_eq!(row.attempt, 1, "one claim went through");
    for engine in &engines {
        engine.offer(task).await.unwrap();
        engine.drained().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_shuts_down_gives_its_task_back_at_once() {
    let sim = world(5).await;
    let (cluster, task) = submit_create(&sim, 3).await;
    let shutdown = CancellationToken::new();
    let first = Engine::new(sim.incarnation(), options("first"), shutdown.clone());
    first.offer(task).await.unwrap();
    tokio::time::sleep(Duration::from_millis(40)).await;
    shutdown.cancel();
    first.drained().await;
    assert_eq!(first.running(), 0);
    let stopped = Instant::now();
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert!(stopped.elapsed() < Duration::from_secs(10), "nobody waits for the lease to run out");
    assert_formed(&sim, cluster, 3).await;
}

/// An engine that is told to stop while it runs a create; how long that took, and the steps it left.
async fn stopped_after(seconds: u64, chaos: Chaos) -> (Duration, Vec<StepRecord>) {
    let sim = world(15).await;
    let (cluster, task) = submit_create(&sim, 3).await;
    sim.set_chaos(chaos);
    let shutdown = CancellationToken::new();
    let engine = Engine::new(sim.incarnation(), options("first"), shutdown.clone());
    engine.offer(task).await.unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let stopped = Instant::now();
    shutdown.cancel();
    engine.drained().await;
    let took = stopped.elapsed();
    let steps = sim.observer().store.steps(task).await.unwrap();
    assert_eq!(sim.observer().store.claimable(9).await.unwrap(), [task], "whoever looks next goes on");
    sim.set_chaos(Chaos::Calm);
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, cluster, 3).await;
    (took, steps)
}

#[tokio::test(start_paused = true)]
async fn a_step_under_way_ends_and_is_recorded_before_the_task_is_given_back() {
    let (took, steps) = stopped_after(1, Chaos::Late("prepare", Duration::from_secs(4))).await;
    assert!((2..4).contains(&took.as_secs()), "the step takes three more seconds: {took:?}");
    let prepared: Vec<_> = steps.iter().filter(|step| step.name == "prepare").collect();
    assert_eq!(prepared.len(), 3);
    assert!(prepared.iter().all(|step| step.outcome == Some(StepOutcome::Done)), "{prepared:?}");
    assert!(steps.iter().all(|step| step.ended.is_some()), "nothing is left open: {steps:?}");
    assert_eq!(steps.last().unwrap().name, "prepare", "and nothing begins: {steps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_does_not_hold_a_daemon_that_stops() {
    let (took, steps) = stopped_after(1, Chaos::Late("prepare", Duration::from_secs(170))).await;
    assert!(took <= Duration::from_secs(6), "{took:?}");
    assert!(steps.iter().any(|step| step.outcome.is_none()), "it is cut off, and somebody does it again: {steps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stops_does_not_wait_for_what_a_task_waits_for() {
    let (took, steps) = stopped_after(20, Chaos::FailForGood("topology", Trouble::Transient)).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
    let last = steps.last().unwrap();
    assert_eq!((last.subject, last.outcome), (None, Some(StepOutcome::Retry)), "the wait ends with it: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stops_takes_nothing_up() {
    let sim = world(16).await;
    let (_, task) = submit_create(&sim, 1).await;
    let shutdown = CancellationToken::new();
    let engine = Engine::new(sim.incarnation(), options("only"), shutdown.clone());
    shutdown.cancel();
    assert_eq!(engine.offer(task).await.unwrap(), Offered::NoRunner);
    tokio::time::timeout(Duration::from_secs(1), engine.run_sweeper()).await.expect("the sweeper has stopped");
    assert_eq!(sim.observer().store.task(task).await.unwrap().unwrap().state, TaskState::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_sweeper_turns_for_as_long_as_it_does_not_hang() {
    let sim = world(17).await;
    let engine = Engine::new(sim.incarnation(), options("only"), CancellationToken::new());
    let watch = async {
        let mut before = engine.turns();
        for _ in 0..5 {
            tokio::time::sleep(options("").sweep_every * 2).await;
            assert!(engine.turns() > before, "it turns");
            before = engine.turns();
        }
        sim.set_chaos(Chaos::Late("claimable", Duration::from_secs(24 * 60 * 60)));
        tokio::time::sleep(options("").sweep_every).await;
        let before = engine.turns();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(engine.turns(), before, "one that hangs does not");
    };
    tokio::select! {
        () = engine.run_sweeper() => {}
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_than_there_are_runners() {
    let sim = world(6).await;
    let mut tasks = Vec::new();
    for _ in 0..9 {
        tasks.push(submit_create(&sim, 1).await);
    }
    let engine = Engine::new(sim.incarnation(), options("only"), CancellationToken::new());
    let watch = async {
        for (_, task) in &tasks {
            assert_eq!(ended(&sim, *task).await, TaskState::Succeeded);
            assert!(engine.running() <= 4);
        }
    };
    tokio::select! {
        () = engine.run_sweeper() => {}
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_delete_changes_nothing() {
    let sim = world(8).await;
    let (cluster, _) = submit_create(&sim, 3).await;
    let first = submit_delete(&sim, cluster).await;
    let observer = sim.observer();
    let again = redtrove_engine::submit::delete(&*observer.store, &*observer.clock, &asker(), cluster).await;
    assert!(again.unwrap().is_none());
    sim.set_chaos(Chaos::Calm);
    assert_eq!(run_until_ended(&sim, first.task).await, TaskState::Succeeded);
    assert_gone(&sim, cluster).await;
}
