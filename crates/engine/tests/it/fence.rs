//! Nodes that are not what they should be, and runners that are not who they think.

use redtrove_core::{ClusterId, SlotRange, TaskId};
use redtrove_engine::sim::{Chaos, Node, Sim};
use redtrove_engine::task::TaskState;

use crate::harness::*;

/// Runs a create to the moment its nodes are prepared, and lets `spoil` change the first of them.
async fn with_spoiled_node(spoil: impl FnOnce(&mut Node)) -> (Sim, ClusterId, TaskId) {
    let sim = world(1).await;
    let (cluster, task) = submit_create(&sim, 3).await;
    let (_, instances) = crate::harness::cluster(&sim, cluster).await.unwrap();
    // The daemon dies as soon as every node is there: before anything is recorded of them.
    for calls in 1.. {
        sim.set_chaos(Chaos::DieBefore(calls));
        let engine = redtrove_engine::Engine::new(
            sim.incarnation(),
            options("first"),
            tokio_util::sync::CancellationToken::new(),
        );
        tokio::select! {
            () = engine.run_sweeper() => {}
            () = sim.killed() => {}
        }
        sim.observer().store.expire_leases_of("first").await.unwrap();
        if instances.iter().all(|instance| sim.node(instance.id).is_some()) {
            break;
        }
    }
    sim.set_chaos(Chaos::Calm);
    sim.change_node(instances[0].id, spoil);
    (sim, cluster, task)
}

async fn assert_refused(spoil: impl FnOnce(&mut Node), found: &str) {
    let (sim, cluster, task) = with_spoiled_node(spoil).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
    assert_failed(&sim, cluster).await;
    let (row, instances) = crate::harness::cluster(&sim, cluster).await.unwrap();
    let fault = row.fault.unwrap();
    assert!(fault.contains("c-member-1") && fault.contains(found), "{fault}");
    for instance in &instances[1..] {
        let node = sim.node(instance.id).unwrap();
        assert!(node.known.is_empty() && node.slots.is_empty(), "no command went to {}", instance.name);
    }
    delete_in_calm(&sim, cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_fresh_is_not_let_in() {
    assert_refused(|node| node.keys = 9, "9 keys").await;
    assert_refused(|node| node.slots.insert(SlotRange::new(5, 6).unwrap()), "slots 5-6").await;
    assert_refused(|node| node.epoch = 7, "epoch 7").await;
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_catches_up_with_its_guests() {
    let (sim, cluster, task) = with_spoiled_node(|node| node.generation = 1_000).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, cluster, 3).await;
    let (_, instances) = crate::harness::cluster(&sim, cluster).await.unwrap();
    assert!(sim.node(instances[0].id).unwrap().generation > 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_given_up_while_its_token_is_raised() {
    let (sim, cluster, task) = with_spoiled_node(|node| node.generation = 1_000).await;
    let before = sim.observer().store.task(task).await.unwrap().unwrap().attempt;
    // The renewal falls into the time in which the database has the new token and the runner does not know it yet.
    sim.set_chaos(Chaos::Late("raise_token", std::time::Duration::from_secs(15)));
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, cluster, 3).await;
    assert_eq!(sim.observer().store.task(task).await.unwrap().unwrap().attempt, before + 1, "one claim is enough");
}
