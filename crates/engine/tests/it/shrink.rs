//! Shrinking: only members without slots leave, and whoever left is remembered by nobody.

use std::time::Duration;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::{ClusterId, InstanceId, SlotRange, SlotSet};
use redtrove_engine::Engine;
use redtrove_engine::ports::StoreError;
use redtrove_engine::sim::{Chaos, Sim, Trouble};
use redtrove_engine::submit;
use redtrove_engine::task::{TaskState, Verdict};
use tokio_util::sync::CancellationToken;

use crate::chaos::accidents;
use crate::harness::*;

const STAYING: usize = 3;

/// A cluster of which the last `leavers` members own nothing: their slots were moved to the first.
async fn drained(seed: u64, leavers: usize) -> (Sim, ClusterId, Vec<InstanceId>) {
    let (sim, cluster) = formed(seed, STAYING + leavers).await;
    let members = instances(&sim, cluster).await;
    let leaving: Vec<InstanceId> = members[STAYING..].iter().map(|member| member.id).collect();
    for leaver in &leaving {
        drain(&sim, &members, *leaver);
    }
    (sim, cluster, leaving)
}

async fn calls_of_a_shrink() -> u64 {
    let (sim, cluster, leavers) = drained(0, 1).await;
    let task = submit_shrink(&sim, cluster, &leavers).await;
    sim.set_chaos(Chaos::Calm);
    run_until_ended(&sim, task).await;
    sim.calls()
}

#[tokio::test(start_paused = true)]
async fn drained_members_leave_and_their_addresses_are_free_only_when_all_have_forgotten() {
    for leavers in [1, 2, 5] {
        let (sim, cluster, leaving) = drained(leavers as u64, leavers).await;
        let task = submit_shrink(&sim, cluster, &leaving).await;
        assert_eq!(crate::harness::cluster(&sim, cluster).await.unwrap().0.task, ClusterTask::ShrinkingCluster);
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
        let row = sim.observer().store.task(task).await.unwrap().unwrap();
        assert_eq!(row.verdict, Some(Verdict::Accepted));
        assert_eq!(instances(&sim, cluster).await.len(), STAYING, "the task is done when the members are gone");
        assert_eq!(sim.machines().len(), STAYING);
        assert_eq!(sim.held_addresses().len(), leavers, "addresses are held back");
        watch(&sim, Duration::from_secs(60)).await;
        assert_eq!(sim.held_addresses().len(), leavers, "from monitor and orphan sweeper, too, until the second look");
        settle(&sim).await;
        assert_whole(&sim, cluster, STAYING).await;
        delete_in_calm(&sim, cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_step_log_of_a_shrink_tells_the_order() {
    let (sim, cluster, leavers) = drained(1, 1).await;
    let task = submit_shrink(&sim, cluster, &leavers).await;
    run_until_ended(&sim, task).await;
    let steps = sim.observer().store.steps(task).await.unwrap();
    let mut names: Vec<_> = steps.iter().map(|step| step.name.as_str()).collect();
    names.dedup();
    assert_eq!(names, ["close_to_tenants", "accept", "leave_cluster", "remove_nodes", "remove_machine"]);
}

/// Gives a leaver a reason to stay.
type Reason = fn(&Sim, &[Instance], InstanceId);

#[tokio::test(start_paused = true)]
async fn a_member_with_slots_or_with_one_on_the_move_is_refused_and_open_again() {
    let reasons: [(&str, Reason); 4] = [
        ("slots", |sim, _, leaver| {
            sim.change_node(leaver, |node| node.slots = slot(7));
        }),
        ("importing", |sim, members, leaver| {
            let source = sim.node(members[0].id).unwrap().id;
            sim.change_node(leaver, |node| node.importing.push((5, source)));
        }),
        ("migrating", |sim, members, leaver| {
            let target = sim.node(members[0].id).unwrap().id;
            sim.change_node(leaver, |node| node.migrating.push((5, target)));
        }),
        ("on its way in", |sim, members, leaver| {
            let target = sim.node(leaver).unwrap().id;
            sim.change_node(members[1].id, |node| node.migrating.push((5, target)));
        }),
    ];
    for (name, reason) in reasons {
        let (sim, cluster, leavers) = drained(3, 2).await;
        reason(&sim, &instances(&sim, cluster).await, leavers[1]);
        let task = submit_shrink(&sim, cluster, &leavers).await;
        let store = sim.observer().store;
        let (state, verdict) =
            tokio::join!(run_until_ended(&sim, task), submit::await_verdict(&*store, task, Duration::from_secs(15)));
        assert_eq!(state, TaskState::Failed, "{name}");
        let fault = verdict.unwrap().expect(name);
        assert_eq!(fault.kind.code(), 403, "{name}");
        assert!(fault.message.starts_with("One or more nodes have data slots assigned"), "{fault}");
        let (row, members) = crate::harness::cluster(&sim, cluster).await.unwrap();
        assert_eq!((row.task, row.fault), (ClusterTask::None, None), "{name}: no fault is left");
        assert_eq!(members.len(), STAYING + 2);
        for member in members {
            assert_eq!((member.lifecycle, member.fault), (Lifecycle::Complete, None), "{name}");
            let node = sim.node(member.id).unwrap();
            assert!(node.left.is_none() && node.closed_until.is_none(), "{name}: {} is open", member.name);
        }
    }
}

fn slot(slot: u32) -> SlotSet {
    SlotSet::from(SlotRange::new(slot, slot).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_arrives_while_a_leaver_is_being_closed_is_seen() {
    let (sim, cluster, leavers) = drained(3, 1).await;
    let task = submit_shrink(&sim, cluster, &leavers).await;
    let moving = async {
        // A reshard that was under way ends just after the leaver is shut.
        while sim.node(leavers[0]).unwrap().closed_until.is_none() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        sim.change_node(leavers[0], |node| node.slots = slot(9));
    };
    let (state, ()) = tokio::join!(run_until_ended(&sim, task), moving);
    assert_eq!(state, TaskState::Failed);
    let node = sim.node(leavers[0]).unwrap();
    assert!(node.left.is_none() && node.closed_until.is_none());
    assert!(node.slots.contains(9), "the slot is where the tenant moved it");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_nobody_waits_for_leaves_a_fault() {
    let (sim, cluster, leavers) = drained(3, 1).await;
    sim.change_node(leavers[0], |node| node.slots = slot(7));
    let task = submit_shrink(&sim, cluster, &leavers).await;
    let store = sim.observer().store;
    let answer = submit::await_verdict(&*store, task, Duration::from_secs(2)).await.unwrap();
    assert_eq!(answer, None, "no taskmanager has looked at it yet");
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    let fault = crate::harness::cluster(&sim, cluster).await.unwrap().0.fault.unwrap();
    assert!(fault.contains("c-member-4"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_waited_for_while_the_database_is_away() {
    let (sim, cluster) = formed(4, STAYING + 1).await;
    let leaver = instances(&sim, cluster).await.pop().unwrap().id;
    let task = submit_shrink(&sim, cluster, &[leaver]).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    let store = sim.incarnation().store;
    sim.set_chaos(Chaos::FailBefore(1));
    let fault = submit::await_verdict(&*store, task, Duration::from_secs(15)).await.unwrap().unwrap();
    assert_eq!(fault.kind.code(), 403);
    sim.set_chaos(Chaos::FailForGood("task", Trouble::Transient));
    let answer = submit::await_verdict(&*store, task, Duration::from_secs(15)).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "neither yes nor no: {answer:?}");
}

#[test]
fn a_shrink_survives_one_accident_at_any_call() {
    let calls = case(calls_of_a_shrink());
    assert!(calls > 20, "{calls} calls are too few to be a shrink");
    for n in 1..=calls {
        for chaos in accidents(n) {
            case(async {
                let (sim, cluster, leavers) = drained(n, 1).await;
                let task = submit_shrink(&sim, cluster, &leavers).await;
                sim.set_chaos(chaos);
                assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "{chaos:?}");
                tokio::time::sleep(Duration::from_secs(60)).await;
                settle(&sim).await;
                assert_whole(&sim, cluster, STAYING).await;
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_shrink_may_be_done_twice() {
    let (sim, cluster, leavers) = drained(1, 2).await;
    let task = submit_shrink(&sim, cluster, &leavers).await;
    sim.set_chaos(Chaos::Repeat);
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    settle(&sim).await;
    assert_whole(&sim, cluster, STAYING).await;
}

#[tokio::test(start_paused = true)]
async fn a_leaver_that_serves_is_not_removed_because_its_agent_is_silent() {
    let (sim, cluster, leavers) = drained(5, 1).await;
    sim.change_node(leavers[0], |node| node.silent = true);
    let task = submit_shrink(&sim, cluster, &leavers).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    assert!(sim.node(leavers[0]).is_some(), "a tenant may have given it slots at any time");
    let fault = crate::harness::cluster(&sim, cluster).await.unwrap().0.fault.unwrap();
    assert!(fault.contains("c-member-4") && fault.contains("may serve"), "{fault}");
    sim.change_node(leavers[0], |node| node.silent = false);
    let task = submit_shrink(&sim, cluster, &leavers).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    settle(&sim).await;
    assert_whole(&sim, cluster, STAYING).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_removed_while_no_agent_answers_any_more() {
    let (sim, cluster, leavers) = drained(5, 1).await;
    let members = instances(&sim, cluster).await;
    let task = submit_shrink(&sim, cluster, &leavers).await;
    let cut = async {
        let accepted = || async { sim.observer().store.task(task).await.unwrap().unwrap().verdict.is_some() };
        while !accepted().await {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        for member in &members {
            sim.change_node(member.id, |node| node.silent = true);
        }
    };
    let (state, ()) = tokio::join!(run_until_ended(&sim, task), cut);
    let left = sim.node(leavers[0]).is_some_and(|node| node.left.is_some());
    assert!(state == TaskState::Failed && !left, "{state}: it was cut off before it was told to leave");
    assert_eq!(sim.machines().len(), STAYING + 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_leaver_is_removed_by_the_word_of_the_others() {
    let (sim, cluster, leavers) = drained(4, 2).await;
    sim.change_node(leavers[0], |node| node.down = true);
    let task = submit_shrink(&sim, cluster, &leavers).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    settle(&sim).await;
    assert_whole(&sim, cluster, STAYING).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_leaver_with_slots_is_refused_by_the_word_of_the_others() {
    let (sim, cluster) = formed(4, STAYING + 1).await;
    let leaver = instances(&sim, cluster).await.pop().unwrap().id;
    sim.change_node(leaver, |node| node.down = true);
    let task = submit_shrink(&sim, cluster, &[leaver]).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    assert_eq!(sim.observer().store.task(task).await.unwrap().unwrap().verdict, Some(Verdict::Refused));
    assert!(sim.machines().contains(&leaver));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_counted_as_one() {
    let (sim, cluster) = formed(4, STAYING + 1).await;
    let leaver = instances(&sim, cluster).await.pop().unwrap().id;
    let task = submit_shrink(&sim, cluster, &[leaver]).await;
    let engine = Engine::new(sim.incarnation(), options("counting"), CancellationToken::new());
    engine.offer(task).await.unwrap();
    engine.drained().await;
    let counts = engine.counts().list().map(|(name, _, count)| (name, count));
    for (name, count) in [("tasks_refused", 1), ("tasks_failed", 0), ("tasks_succeeded", 0)] {
        assert!(counts.contains(&(name, count)), "{counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_nobody_is_removed() {
    let (sim, cluster, leavers) = drained(4, 1).await;
    for member in &instances(&sim, cluster).await[..2] {
        sim.change_node(member.id, |node| node.down = true);
    }
    let task = submit_shrink(&sim, cluster, &leavers).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    let (row, members) = crate::harness::cluster(&sim, cluster).await.unwrap();
    assert!(row.fault.is_some_and(|fault| fault.contains("no majority")));
    assert!(members.iter().all(|member| member.lifecycle == Lifecycle::Complete && member.fault.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_away_does_not_bring_the_removed_node_back() {
    let (sim, cluster, leavers) = drained(6, 1).await;
    let away = instances(&sim, cluster).await[2].id;
    let removed = sim.node(leavers[0]).unwrap().id;
    sim.change_node(away, |node| node.down = true);
    let task = submit_shrink(&sim, cluster, &leavers).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "one that is away keeps nobody");
    settle(&sim).await;
    let owed = sim.observer().store.removed_nodes(Some(cluster)).await.unwrap();
    assert_eq!(owed[0].debtors, [away].into(), "it goes on owing");
    assert_eq!(sim.held_addresses(), leavers);
    // Back after the others have stopped refusing to hear of the removed node.
    tokio::time::sleep(Duration::from_secs(120)).await;
    sim.change_node(away, |node| node.down = false);
    assert!(sim.node(away).unwrap().known.contains_key(&removed));
    settle(&sim).await;
    assert_whole(&sim, cluster, STAYING).await;
}

#[test]
fn a_shrink_that_fails_for_good_ends_in_a_legal_state_and_may_be_asked_for_again() {
    for method in ["topology", "close", "leave", "remove_nodes", "destroy"] {
        for trouble in [Trouble::Transient, Trouble::Permanent] {
            case(async {
                let (sim, cluster, leavers) = drained(2, 1).await;
                let task = submit_shrink(&sim, cluster, &leavers).await;
                sim.set_chaos(Chaos::FailForGood(method, trouble));
                run_until_ended(&sim, task).await;
                let (row, members) = crate::harness::cluster(&sim, cluster).await.unwrap();
                assert_eq!(row.task, ClusterTask::None);
                let staying = members.iter().filter(|member| !leavers.contains(&member.id));
                assert!(staying.clone().all(|m| m.lifecycle == Lifecycle::Complete && m.fault.is_none()));
                sim.set_chaos(Chaos::Calm);
                if members.len() > STAYING {
                    assert!(row.fault.is_some(), "{method} {trouble:?}");
                    let task = submit_shrink(&sim, cluster, &leavers).await;
                    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "{method} {trouble:?}");
                }
                settle(&sim).await;
                assert_whole(&sim, cluster, STAYING).await;
            });
        }
    }
}

#[test]
fn a_delete_takes_over_at_any_moment_of_a_shrink() {
    let calls = case(calls_of_a_shrink());
    for n in 1..=calls {
        for chaos in [Chaos::Calm, Chaos::DieAfter(n), Chaos::Freeze(n, Duration::from_secs(45))] {
            case(async {
                let (sim, cluster, leavers) = drained(n, 1).await;
                let shrink = submit_shrink(&sim, cluster, &leavers).await;
                sim.set_chaos(chaos);
                let engine = Engine::new(sim.incarnation(), options("shrinker"), CancellationToken::new());
                aside(async move { engine.offer(shrink).await });
                while sim.calls() < n && sim.observer().store.task(shrink).await.unwrap().unwrap().ended.is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let wake = submit_delete(&sim, cluster).await;
                assert_eq!(run_until_ended(&sim, wake.task).await, TaskState::Succeeded, "{chaos:?} at {n}");
                settle(&sim).await;
                assert_gone(&sim, cluster).await;
                assert_eq!(sim.observer().store.removed_nodes(None).await.unwrap(), []);
            });
        }
    }
}

#[test]
fn in_noise_grows_and_shrinks_end_in_a_legal_state() {
    for seed in 0..150 {
        case(async {
            let (sim, cluster, leavers) = drained(seed, 1).await;
            sim.set_chaos(Chaos::Noise(15, seed));
            let task = submit_grow(&sim, cluster, 2).await.unwrap();
            let grown = run_until_ended(&sim, task).await == TaskState::Succeeded;
            let joined: Vec<_> = instances(&sim, cluster).await[STAYING + 1..].iter().map(|i| i.id).collect();
            let leaving: Vec<_> = leavers.iter().chain(joined.iter().filter(|_| !grown)).copied().collect();
            let task = submit_shrink(&sim, cluster, &leaving).await;
            let shrunk = run_until_ended(&sim, task).await == TaskState::Succeeded;
            sim.set_chaos(Chaos::Calm);
            if !shrunk {
                let left = instances(&sim, cluster).await;
                let left: Vec<_> = left.iter().map(|i| i.id).filter(|id| leaving.contains(id)).collect();
                if !left.is_empty() {
                    let task = submit_shrink(&sim, cluster, &left).await;
                    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded, "seed {seed}");
                }
            }
            settle(&sim).await;
            if shrunk {
                assert_whole(&sim, cluster, STAYING + if grown { 2 } else { 0 }).await;
            }
            delete_in_calm(&sim, cluster).await;
        });
    }
}
