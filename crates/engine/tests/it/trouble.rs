//! Trouble that is neither an accident at one call nor a fault of a node: a database that hangs, a mistake of ours,
//! a row that cannot be read, more work than runners.

use std::time::Duration;

use redtrove_core::InstanceId;
use redtrove_core::instance::RedisState;
use redtrove_engine::ports::Keep;
use redtrove_engine::sim::{Chaos, Sim, Trouble};
use redtrove_engine::task::{StepOutcome, StepRecord, Task, TaskState};
use redtrove_engine::{Engine, Offered, World};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::*;

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn engine(sim: &Sim, owner: &str, shutdown: &CancellationToken) -> Engine {
    Engine::new(sim.incarnation(), options(owner), shutdown.clone())
}

async fn row(sim: &Sim, task: redtrove_core::TaskId) -> Task {
    sim.observer().store.task(task).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_holds_nobody_up() {
    let sim = world(1).await;
    let (_, unreadable) = submit_create(&sim, 3).await;
    let (cluster, task) = submit_create(&sim, 3).await;
    sim.set_chaos(Chaos::Unreadable(unreadable));
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, cluster, 3).await;
    assert_eq!(row(&sim, unreadable).await.state, TaskState::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_held_for_as_long_as_the_runners_are_busy() {
    let sim = world(2).await;
    sim.set_chaos(Chaos::FailForGood("prepare", Trouble::Transient));
    let engine = engine(&sim, "only", &CancellationToken::new());
    for _ in 0..options("").max_running {
        let (_, task) = submit_create(&sim, 1).await;
        assert_eq!(engine.offer(task).await.unwrap(), Offered::Claimed);
    }
    let (_, task) = submit_create(&sim, 1).await;
    let offered = timeout(Duration::from_secs(20), engine.offer(task)).await.expect("the offer is answered");
    assert_eq!(offered.unwrap(), Offered::NoRunner);
    assert_eq!(row(&sim, task).await.state, TaskState::Pending, "it is left to whoever has a runner");
}

#[tokio::test(start_paused = true)]
async fn a_runner_stops_when_the_database_does_not_say_that_it_may_go_on() {
    let sim = world(3).await;
    let (_, task) = submit_create(&sim, 1).await;
    sim.set_chaos(Chaos::Late("renew", A_DAY));
    let mut options = options("only");
    options.limits.min_uptime = Duration::from_secs(300);
    let lease = options.lease;
    let engine = Engine::new(sim.incarnation(), options, CancellationToken::new());
    engine.offer(task).await.unwrap();
    sleep(lease - Duration::from_secs(1)).await;
    assert_eq!(engine.running(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(engine.running(), 0, "its lease has run out for all it knows");
}

#[tokio::test(start_paused = true)]
async fn a_lease_begins_when_it_was_asked_for() {
    let sim = world(13).await;
    let (_, task) = submit_create(&sim, 1).await;
    sim.set_chaos(Chaos::Late("claim", Duration::from_secs(20)));
    let mut options = options("only");
    options.limits.min_uptime = Duration::from_secs(300);
    let asked = Instant::now();
    let lease = options.lease;
    let engine = Engine::new(sim.incarnation(), options, CancellationToken::new());
    engine.offer(task).await.unwrap();
    sim.set_chaos(Chaos::Late("renew", A_DAY));
    sleep((lease + Duration::from_secs(1)).saturating_sub(asked.elapsed())).await;
    assert_eq!(engine.running(), 0, "another may have claimed the task");
}

#[tokio::test(start_paused = true)]
async fn a_runner_whose_task_was_taken_over_stops_at_its_next_renewal() {
    let sim = world(11).await;
    let (id, task) = submit_create(&sim, 1).await;
    // It waits, and writes nothing that could tell it.
    sim.set_chaos(Chaos::FailForGood("topology", Trouble::Transient));
    let engine = engine(&sim, "only", &CancellationToken::new());
    engine.offer(task).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    submit_delete(&sim, id).await;
    sleep(options("").lease / 3).await;
    assert_eq!(engine.running(), 0);
    let lost = engine.counts().list()[3];
    assert_eq!((lost.0, lost.2), ("tasks_lost", 1));
}

#[tokio::test(start_paused = true)]
async fn the_step_log_goes_on_where_the_last_runner_died() {
    let mut left_open = 0;
    for call in 12..=18 {
        let sim = world(12).await;
        let (_, task) = submit_create(&sim, 3).await;
        sim.set_chaos(Chaos::DieAfter(call));
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
        assert_eq!(row(&sim, task).await.attempt, 2);
        let steps = sim.observer().store.steps(task).await.unwrap();
        assert!(steps.iter().map(|step| step.seq).eq(1..=steps.len() as u64));
        let done = |step: &&StepRecord| step.name == "cluster_complete" && step.outcome == Some(StepOutcome::Done);
        assert_eq!(steps.iter().filter(done).count(), 3, "{steps:#?}");
        left_open += steps.iter().filter(|step| step.outcome.is_none()).count();
    }
    assert!(left_open > 0, "what a runner died in stays open");
}

#[tokio::test(start_paused = true)]
async fn a_mistake_of_ours_ends_the_task_at_its_deadline() {
    for chaos in [Chaos::Panic("topology"), Chaos::FailForGood("version", Trouble::Permanent)] {
        let sim = world(4).await;
        let (id, task) = submit_create(&sim, 3).await;
        sim.set_chaos(chaos);
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed, "{chaos:?}");
        let (row, _) = cluster(&sim, id).await.unwrap();
        assert!(row.fault.is_some_and(|fault| fault.contains("600 s")), "{chaos:?}");
        delete_in_calm(&sim, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_a_rest_and_neither_the_runner_nor_the_lease() {
    let sim = world(5).await;
    let (id, task) = submit_create(&sim, 3).await;
    sim.set_chaos(Chaos::Panic("prepare"));
    let engine = engine(&sim, "only", &CancellationToken::new());
    engine.offer(task).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!((engine.running(), row(&sim, task).await.lease_owner), (0, None));
    sim.set_chaos(Chaos::Calm);
    let calm = Instant::now();
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert!(calm.elapsed() < Duration::from_secs(20), "{:?}", calm.elapsed());
    assert_formed(&sim, id, 3).await;
}

#[tokio::test(start_paused = true)]
async fn machines_that_do_not_come_fail_the_create_in_the_time_of_guests() {
    let ready = options("").limits.guests_ready;
    for method in ["ensure", "prepare"] {
        let sim = world(6).await;
        let (id, task) = submit_create(&sim, 3).await;
        sim.set_chaos(Chaos::FailForGood(method, Trouble::Transient));
        let begun = Instant::now();
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Failed);
        assert!((ready..ready + Duration::from_secs(30)).contains(&begun.elapsed()), "{method}: {:?}", begun.elapsed());
        assert_failed(&sim, id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waited_for_a_taskmanager_still_has_the_time_of_guests() {
    let sim = world(7).await;
    let (id, task) = submit_create(&sim, 3).await;
    sleep(options("").limits.guests_ready + Duration::from_secs(60)).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    assert_formed(&sim, id, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_shuts_down_though_the_database_hangs() {
    let sim = world(8).await;
    let (_, task) = submit_create(&sim, 3).await;
    let shutdown = CancellationToken::new();
    let engine = engine(&sim, "only", &shutdown);
    engine.offer(task).await.unwrap();
    sim.set_chaos(Chaos::Late("release", A_DAY));
    shutdown.cancel();
    timeout(Duration::from_secs(10), engine.drained()).await.expect("the runner does not wait for the database");
}

async fn watched(sim: &Sim) -> InstanceId {
    let (id, task) = submit_create(sim, 1).await;
    assert_eq!(run_until_ended(sim, task).await, TaskState::Succeeded);
    cluster(sim, id).await.unwrap().1[0].id
}

async fn heard(sim: &Sim, id: InstanceId) -> redtrove_core::instance::Heard {
    sim.observer().store.instance(&project(), id).await.unwrap().unwrap().1.heard
}

#[tokio::test(start_paused = true)]
async fn a_monitor_shuts_down_though_no_guest_answers() {
    let sim = world(9).await;
    watched(&sim).await;
    sim.set_chaos(Chaos::Late("status", A_DAY));
    let shutdown = CancellationToken::new();
    let engine = engine(&sim, "only", &shutdown);
    let stop = async {
        sleep(Duration::from_secs(1)).await;
        shutdown.cancel();
    };
    let both = async { tokio::join!(engine.run_monitor(), stop) };
    timeout(Duration::from_secs(3), both).await.expect("the monitor does not wait for the guest");
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_monitor_heard_does_not_replace_what_is_newer() {
    let sim = world(10).await;
    let member = watched(&sim).await;
    let shutdown = CancellationToken::new();
    let slow = engine(&sim, "slow", &shutdown);
    // Paused after the member has answered and before that is written: the fifth call, after the lease, the time, the
    // members and the member's answer.
    sim.set_chaos(Chaos::Freeze(5, Duration::from_secs(60)));
    let watch = async {
        sim.killed().await;
        sleep(Duration::from_secs(1)).await;
        let World { compute, .. } = sim.observer();
        compute.destroy(member, Keep::Nothing).await.unwrap();
        let next = engine(&sim, "next", &shutdown);
        aside(async move { next.run_monitor().await });
        sleep(Duration::from_secs(48)).await;
        assert!(heard(&sim, member).await.silent_since.is_some(), "the other took over and heard nothing");
        sleep(Duration::from_secs(16)).await;
        let heard = heard(&sim, member).await;
        assert!(heard.silent_since.is_some() && heard.redis != RedisState::Running, "{heard:?}");
    };
    tokio::select! {
        () = slow.run_monitor() => {}
        () = watch => {}
    }
}
