//! Everything goes wrong: at every point, once, twice and for good.

use std::time::Duration;

use redtrove_engine::Engine;
use redtrove_engine::sim::{Chaos, Trouble};
use redtrove_engine::task::TaskState;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

const MEMBERS: usize = 3;

/// How many calls it takes to create a cluster when nothing goes wrong.
async fn calls_of_a_create() -> u64 {
    let sim = world(0).await;
    let (_, task) = submit_create(&sim, MEMBERS).await;
    sim.set_chaos(Chaos::Calm);
    run_until_ended(&sim, task).await;
    sim.calls()
}

async fn calls_of_a_delete() -> u64 {
    let (sim, cluster) = formed(0, MEMBERS).await;
    let wake = submit_delete(&sim, cluster).await;
    sim.set_chaos(Chaos::Calm);
    run_until_ended(&sim, wake.task).await;
    sim.calls()
}

/// What the world may do to call `n` that a task must survive.
pub(crate) fn accidents(n: u64) -> [Chaos; 5] {
    [
        Chaos::DieBefore(n),
        Chaos::DieAfter(n),
        Chaos::FailBefore(n),
        Chaos::FailAfter(n),
        Chaos::Freeze(n, Duration::from_secs(45)),
    ]
}

#[test]
fn a_create_survives_one_accident_at_any_call() {
    let calls = case(calls_of_a_create());
    assert!(calls > 25, "{calls} calls are too few to be a create");
    for n in 1..=calls {
        for chaos in accidents(n) {
            case(async {
                let sim = world(n).await;
                let (cluster, task) = submit_create(&sim, MEMBERS).await;
                sim.set_chaos(chaos);
                assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "{chaos:?}");
                // A frozen daemon wakes now, with a lease that is somebody else's.
                tokio::time::sleep(Duration::from_secs(60)).await;
                assert_formed(&sim, cluster, MEMBERS).await;
            });
        }
    }
}

#[test]
fn a_delete_survives_one_accident_at_any_call() {
    let calls = case(calls_of_a_delete());
    assert!(calls > 5, "{calls} calls are too few to be a delete");
    for n in 1..=calls {
        for chaos in accidents(n) {
            case(async {
                let (sim, cluster) = formed(n, MEMBERS).await;
                let wake = submit_delete(&sim, cluster).await;
                sim.set_chaos(chaos);
                assert_eq!(run_until_ended(&sim, wake.task).await, TaskState::Succeeded, "{chaos:?}");
                tokio::time::sleep(Duration::from_secs(60)).await;
                assert_gone(&sim, cluster).await;
            });
        }
    }
}

#[test]
fn a_delete_frees_no_address_before_its_last_machine_is_gone() {
    let calls = case(calls_of_a_delete());
    for n in 1..=calls {
        case(async {
            let (sim, cluster) = formed(n, MEMBERS).await;
            let wake = submit_delete(&sim, cluster).await;
            sim.set_chaos(Chaos::DieAfter(n));
            let engine = Engine::new(sim.incarnation(), options("first"), CancellationToken::new());
            aside(async move { engine.offer(wake.task).await });
            let cut = tokio::time::timeout(Duration::from_secs(60), sim.killed()).await.is_ok();
            let (standing, held) = (sim.machines().len(), sim.held_addresses().len());
            assert!(standing == 0 || standing + held == MEMBERS, "{standing} stand, {held} held, {cut} at {n}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_may_be_done_twice() {
    let sim = world(1).await;
    let (cluster, task) = submit_create(&sim, MEMBERS).await;
    sim.set_chaos(Chaos::Repeat);
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, cluster, MEMBERS).await;
    let wake = submit_delete(&sim, cluster).await;
    assert_eq!(run_until_ended(&sim, wake.task).await, TaskState::Succeeded);
    assert_gone(&sim, cluster).await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_ends_the_create_and_a_delete_cleans_up() {
    for method in ["ensure", "topology", "prepare", "add_slots", "meet", "complete"] {
        for trouble in [Trouble::Transient, Trouble::Permanent] {
            let sim = world(2).await;
            let (cluster, task) = submit_create(&sim, MEMBERS).await;
            sim.set_chaos(Chaos::FailForGood(method, trouble));
            assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed, "{method} {trouble:?}");
            assert_failed(&sim, cluster).await;
            let fault = sim.observer().store.task(task).await.unwrap().unwrap().fault;
            assert!(fault.is_some_and(|fault| !fault.is_empty()), "{method} {trouble:?}");
            delete_in_calm(&sim, cluster).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_for_good_says_so_and_may_be_asked_for_again() {
    for trouble in [Trouble::Transient, Trouble::Permanent] {
        let (sim, cluster) = formed(3, MEMBERS).await;
        let wake = submit_delete(&sim, cluster).await;
        sim.set_chaos(Chaos::FailForGood("destroy", trouble));
        assert_eq!(run_until_ended(&sim, wake.task).await, TaskState::Failed);
        let (row, _) = crate::harness::cluster(&sim, cluster).await.unwrap();
        assert!(row.fault.is_some());
        delete_in_calm(&sim, cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_fails_fast() {
    for (method, member) in [("ensure", "c-member-1"), ("prepare", "c-member-1")] {
        let sim = world(4).await;
        let (_, task) = submit_create(&sim, MEMBERS).await;
        sim.set_chaos(Chaos::FailForGood(method, Trouble::Permanent));
        let begun = tokio::time::Instant::now();
        run_until_ended(&sim, task).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{method}: {:?}", begun.elapsed());
        let fault = sim.observer().store.task(task).await.unwrap().unwrap().fault.unwrap();
        assert!(fault.starts_with(member), "{fault}");
    }
}

#[test]
fn a_delete_takes_over_at_any_moment_of_a_create() {
    let calls = case(calls_of_a_create());
    for n in 1..=calls {
        // The create's daemon dies, or lives on and finds its lease gone.
        for chaos in [Chaos::Calm, Chaos::DieAfter(n), Chaos::Freeze(n, Duration::from_secs(45))] {
            case(async {
                let sim = world(n).await;
                let (cluster, create) = submit_create(&sim, MEMBERS).await;
                sim.set_chaos(chaos);
                let engine = Engine::new(sim.incarnation(), options("creator"), CancellationToken::new());
                // Offered on the side, as a daemon that dies in the claim never hears of it.
                aside(async move { engine.offer(create).await });
                while sim.calls() < n && sim.observer().store.task(create).await.unwrap().unwrap().ended.is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let wake = submit_delete(&sim, cluster).await;
                assert_eq!(run_until_ended(&sim, wake.task).await, TaskState::Succeeded, "{chaos:?} at {n}");
                // What a frozen daemon was about to call arrives now.
                tokio::time::sleep(Duration::from_secs(60)).await;
                sweep_orphans(&sim).await;
                assert_gone(&sim, cluster).await;
                assert!(ended(&sim, create).await.is_end());
            });
        }
    }
}

#[test]
fn in_noise_every_task_ends_in_a_legal_state() {
    for seed in 0..300 {
        case(async {
            let sim = world(seed).await;
            let (cluster, task) = submit_create(&sim, 1 + (seed as usize) % 5).await;
            sim.set_chaos(Chaos::Noise(15, seed));
            match run_until_ended(&sim, task).await {
                TaskState::Succeeded => assert_formed(&sim, cluster, 1 + (seed as usize) % 5).await,
                _ => assert_failed(&sim, cluster).await,
            }
            sim.set_chaos(Chaos::Noise(15, seed + 1_000));
            let wake = submit_delete(&sim, cluster).await;
            match run_until_ended(&sim, wake.task).await {
                TaskState::Succeeded => {
                    sim.set_chaos(Chaos::Calm);
                    sweep_orphans(&sim).await;
                    assert_gone(&sim, cluster).await;
                }
                _ => delete_in_calm(&sim, cluster).await,
            }
        });
    }
}
