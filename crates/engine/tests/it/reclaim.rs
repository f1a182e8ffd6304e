//! A daemon that is killed and started again under its name does not wait for its own leases.

use std::time::Duration;

use redtrove_engine::sim::Chaos;
use redtrove_engine::task::TaskState;
use redtrove_engine::{Engine, Options};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn a_killed_daemon_goes_on_as_soon_as_it_is_back() {
    let sim = world(1).await;
    let (cluster, task) = submit_create(&sim, 3).await;
    sim.set_chaos(Chaos::DieAfter(20));
    let first = Engine::new(sim.incarnation(), options("tm"), CancellationToken::new());
    aside(async move { first.offer(task).await });
    sim.killed().await;
    let killed = Instant::now();
    let second = Engine::new(sim.incarnation(), options("tm"), CancellationToken::new());
    second.reclaim().await.unwrap();
    tokio::select! {
        () = second.run_sweeper() => {}
        state = ended(&sim, task) => assert_eq!(state, TaskState::Succeeded),
    }
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert_formed(&sim, cluster, 3).await;
    let claimed = second.counts().list()[0].2;
    assert_eq!(claimed, 1);
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_others_are_left_alone() {
    let sim = world(2).await;
    let (_, task) = submit_create(&sim, 3).await;
    sim.set_chaos(Chaos::DieAfter(20));
    let first = Engine::new(sim.incarnation(), options("tm-1"), CancellationToken::new());
    aside(async move { first.offer(task).await });
    sim.killed().await;
    let second = Engine::new(sim.incarnation(), options("tm-2"), CancellationToken::new());
    second.reclaim().await.unwrap();
    assert!(sim.observer().store.claimable(9).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_daemon_takes_over_as_soon_as_the_lease_ends() {
    let sim = world(3).await;
    let (_, task) = submit_create(&sim, 3).await;
    sim.set_chaos(Chaos::DieAfter(20));
    let slow = |owner: &str| Options { sweep_every: Duration::from_secs(25), ..options(owner) };
    let lease = slow("tm-1").lease;
    let first = Engine::new(sim.incarnation(), slow("tm-1"), CancellationToken::new());
    aside(async move { first.offer(task).await });
    sim.killed().await;
    let killed = Instant::now();
    let second = Engine::new(sim.incarnation(), slow("tm-2"), CancellationToken::new());
    let taken_over = async {
        while second.running() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        killed.elapsed()
    };
    tokio::select! {
        () = second.run_sweeper() => {}
        took = taken_over => assert!(took <= lease + Duration::from_millis(100), "{took:?}"),
    }
}
