//! Growing: new members join as empty masters, and nobody who serves is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::{ClusterId, SlotSet};
use redtrove_engine::Engine;
use redtrove_engine::ports::SubmitError;
use redtrove_engine::sim::{Chaos, Sim, Trouble};
use redtrove_engine::task::TaskState;
use tokio_util::sync::CancellationToken;

use crate::chaos::accidents;
use crate::harness::*;

const OLD: usize = 3;
const NEW: usize = 2;

/// What each of the instances' nodes owns.
fn slots(sim: &Sim, instances: &[Instance]) -> BTreeMap<String, SlotSet> {
    instances.iter().map(|i| (i.name.clone(), sim.node(i.id).unwrap().slots)).collect()
}

async fn assert_grown(sim: &Sim, id: ClusterId, before: &BTreeMap<String, SlotSet>, joiners: usize) {
    assert_whole(sim, id, before.len() + joiners).await;
    for (name, slots) in slots(sim, &instances(sim, id).await) {
        assert_eq!(slots, before.get(&name).cloned().unwrap_or_default(), "{name} owns what it did");
    }
}

async fn calls_of_a_grow() -> u64 {
    let (sim, cluster) = formed(0, OLD).await;
    let task = submit_grow(&sim, cluster, NEW).await.unwrap();
    sim.set_chaos(Chaos::Calm);
    run_until_ended(&sim, task).await;
    sim.calls()
}

#[tokio::test(start_paused = true)]
async fn new_members_are_empty_and_their_names_continue() {
    for (old, new) in [(1, 1), (1, 3), (3, 1), (4, 2), (8, 9)] {
        let (sim, cluster) = formed(7, old).await;
        let before = slots(&sim, &instances(&sim, cluster).await);
        let task = submit_grow(&sim, cluster, new).await.unwrap();
        let (row, members) = crate::harness::cluster(&sim, cluster).await.unwrap();
        assert_eq!(row.task, ClusterTask::GrowingCluster);
        assert_eq!(members.last().unwrap().name, format!("c-member-{}", old + new));
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
        assert_grown(&sim, cluster, &before, new).await;
        delete_in_calm(&sim, cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_grows_at_the_same_time_one_is_busy() {
    let (sim, cluster) = formed(1, OLD).await;
    let (one, other) = tokio::join!(submit_grow(&sim, cluster, 1), submit_grow(&sim, cluster, 2));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert!(matches!(lost, Err(SubmitError::Busy(ClusterTask::GrowingCluster))), "{lost:?}");
    assert_eq!(run_until_ended(&sim, won.unwrap()).await, TaskState::Succeeded);
}

#[test]
fn a_grow_survives_one_accident_at_any_call() {
    let calls = case(calls_of_a_grow());
    assert!(calls > 20, "{calls} calls are too few to be a grow");
    for n in 1..=calls {
        for chaos in accidents(n) {
            case(async {
                let (sim, cluster) = formed(n, OLD).await;
                let before = slots(&sim, &instances(&sim, cluster).await);
                let task = submit_grow(&sim, cluster, NEW).await.unwrap();
                sim.set_chaos(chaos);
                assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "{chaos:?}");
                // A frozen daemon wakes now, with a lease that is somebody else's.
                tokio::time::sleep(Duration::from_secs(60)).await;
                assert_grown(&sim, cluster, &before, NEW).await;
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_grow_may_be_done_twice() {
    let (sim, cluster) = formed(1, OLD).await;
    let before = slots(&sim, &instances(&sim, cluster).await);
    let task = submit_grow(&sim, cluster, NEW).await.unwrap();
    sim.set_chaos(Chaos::Repeat);
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_grown(&sim, cluster, &before, NEW).await;
}

#[test]
fn a_grow_that_fails_leaves_the_cluster_as_it_was_and_a_shrink_removes_what_it_left() {
    for method in ["ensure", "prepare", "meet", "complete"] {
        for trouble in [Trouble::Transient, Trouble::Permanent] {
            case(async {
                let (sim, cluster) = formed(2, OLD).await;
                let before = slots(&sim, &instances(&sim, cluster).await);
                let task = submit_grow(&sim, cluster, NEW).await.unwrap();
                sim.set_chaos(Chaos::FailForGood(method, trouble));
                assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed, "{method} {trouble:?}");
                let (row, members) = crate::harness::cluster(&sim, cluster).await.unwrap();
                assert_eq!(row.task, ClusterTask::None);
                assert!(row.fault.is_some_and(|fault| !fault.is_empty()));
                for member in &members {
                    let old = before.contains_key(&member.name);
                    assert_eq!(member.fault.is_none(), old, "{}: {:?}", member.name, member.fault);
                    assert_eq!(member.lifecycle == Lifecycle::Complete, old);
                }
                sim.set_chaos(Chaos::Calm);
                let failed: Vec<_> = members.iter().filter(|m| m.fault.is_some()).map(|m| m.id).collect();
                let task = submit_shrink(&sim, cluster, &failed).await;
                assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "{method} {trouble:?}");
                settle(&sim).await;
                assert_grown(&sim, cluster, &before, 0).await;
                let task = submit_grow(&sim, cluster, 1).await.unwrap();
                assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
                assert_grown(&sim, cluster, &before, 1).await;
                let last = instances(&sim, cluster).await.pop().unwrap();
                assert_eq!(last.number as usize, OLD + NEW + 1, "no name is used again");
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_member_is_neither_waited_for_nor_left_in_the_dark() {
    let (sim, cluster) = formed(5, OLD).await;
    let dead = instances(&sim, cluster).await[0].id;
    sim.change_node(dead, |node| node.down = true);
    let before = slots(&sim, &instances(&sim, cluster).await);
    let task = submit_grow(&sim, cluster, NEW).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    sim.change_node(dead, |node| node.down = false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Somebody has to look for gossip to go on.
    let one = instances(&sim, cluster).await[1].clone();
    let guest = redtrove_engine::ports::Guest { instance: one.id, ip: one.ip.unwrap() };
    sim.observer().guests.topology(&guest).await.unwrap();
    assert_grown(&sim, cluster, &before, NEW).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_nobody_of_answers_fails_to_grow_in_time() {
    let (sim, cluster) = formed(5, OLD).await;
    for member in instances(&sim, cluster).await {
        sim.change_node(member.id, |node| node.down = true);
    }
    let task = submit_grow(&sim, cluster, NEW).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", begun.elapsed());
    let fault = crate::harness::cluster(&sim, cluster).await.unwrap().0.fault.unwrap();
    assert!(fault.contains("no member of the cluster answers"), "{fault}");
}

#[test]
fn a_delete_takes_over_at_any_moment_of_a_grow() {
    let calls = case(calls_of_a_grow());
    for n in 1..=calls {
        for chaos in [Chaos::Calm, Chaos::DieAfter(n), Chaos::Freeze(n, Duration::from_secs(45))] {
            case(async {
                let (sim, cluster) = formed(n, OLD).await;
                let grow = submit_grow(&sim, cluster, NEW).await.unwrap();
                sim.set_chaos(chaos);
                let engine = Engine::new(sim.incarnation(), options("grower"), CancellationToken::new());
                aside(async move { engine.offer(grow).await });
                while sim.calls() < n && sim.observer().store.task(grow).await.unwrap().unwrap().ended.is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let wake = submit_delete(&sim, cluster).await;
                assert_eq!(run_until_ended(&sim, wake.task).await, TaskState::Succeeded, "{chaos:?} at {n}");
                // What a frozen daemon was about to call arrives now.
                tokio::time::sleep(Duration::from_secs(60)).await;
                sweep_orphans(&sim).await;
                assert_gone(&sim, cluster).await;
            });
        }
    }
}
