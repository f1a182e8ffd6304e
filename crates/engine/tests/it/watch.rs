//! The monitor and the orphan sweeper.

use std::time::Duration;

use redtrove_core::instance::{Lifecycle, RedisState};
use redtrove_core::status::{MemberStatus, member_status};
use redtrove_engine::sim::{Chaos, Sim, Trouble};
use redtrove_engine::task::TaskState;
use redtrove_engine::{Engine, Options, World};
use tokio_util::sync::CancellationToken;

use crate::harness::*;

async fn statuses(sim: &Sim, id: redtrove_core::ClusterId) -> Vec<MemberStatus> {
    let now = sim.observer().store.now().await.unwrap();
    let (_, instances) = cluster(sim, id).await.unwrap();
    instances.iter().map(|instance| member_status(instance, now, Duration::from_secs(90), None).0).collect()
}

#[tokio::test(start_paused = true)]
async fn the_monitor_writes_what_it_hears_and_only_what_is_new() {
    let sim = world(1).await;
    let (id, task) = submit_create(&sim, 3).await;
    assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
    let engine = Engine::new(sim.incarnation(), options("monitor"), CancellationToken::new());
    let watch = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let (_, instances) = cluster(&sim, id).await.unwrap();
        assert!(instances.iter().all(|i| i.heard.redis == RedisState::Running && i.heard.volume_used_mb == Some(1)));
        assert_eq!(statuses(&sim, id).await, [MemberStatus::Active; 3]);

        sim.set_chaos(Chaos::FailForGood("status", Trouble::Transient));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(statuses(&sim, id).await, [MemberStatus::Active; 3], "silent, but not for long");
        let (_, instances) = cluster(&sim, id).await.unwrap();
        let since = instances[0].heard.silent_since.expect("it is silent");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(statuses(&sim, id).await, [MemberStatus::Error; 3]);
        let (_, instances) = cluster(&sim, id).await.unwrap();
        assert_eq!(instances[0].heard.silent_since, Some(since), "the first silence counts");

        sim.set_chaos(Chaos::Calm);
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(statuses(&sim, id).await, [MemberStatus::Active; 3]);
    };
    tokio::select! {
        () = engine.run_monitor() => {}
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn one_monitor_at_a_time_and_another_when_it_dies() {
    let sim = world(2).await;
    let observer = sim.observer();
    let lease = Duration::from_secs(30);
    assert!(observer.store.take_monitor("a", lease).await.unwrap());
    assert!(!observer.store.take_monitor("b", lease).await.unwrap());
    assert!(observer.store.take_monitor("a", lease).await.unwrap(), "its own is renewed");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(observer.store.take_monitor("b", lease).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn machines_of_deleted_instances_go_and_those_without_a_row_stay() {
    let sim = world(3).await;
    let (id, task) = submit_create(&sim, 2).await;
    run_until_ended(&sim, task).await;
    let (_, instances) = cluster(&sim, id).await.unwrap();
    let wake = submit_delete(&sim, id).await;
    run_until_ended(&sim, wake.task).await;

    // A runner that lost its lease without knowing makes one of the machines again; another has no row at all.
    let World { compute, .. } = sim.observer();
    let mut spec = redtrove_engine::ports::InstanceSpec {
        id: instances[0].id,
        cluster: id,
        name: instances[0].name.clone(),
        flavor_id: "1".to_owned(),
        volume_gb: 2,
        engine: redtrove_core::topology::Engine::Redis,
    };
    compute.ensure(&spec).await.unwrap();
    spec.id = redtrove_core::InstanceId(uuid::Uuid::from_u128(42));
    compute.ensure(&spec).await.unwrap();
    assert_eq!(sim.machines().len(), 2);
    sweep_orphans(&sim).await;
    assert_eq!(sim.machines(), [spec.id]);
    assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Complete), "as they were before");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_row_goes_when_its_long_time_is_over_even_if_the_sweeper_starts_anew() {
    let sim = world(4).await;
    let World { compute, store, .. } = sim.observer();
    let spec = redtrove_engine::ports::InstanceSpec {
        id: redtrove_core::InstanceId(uuid::Uuid::from_u128(42)),
        cluster: redtrove_core::ClusterId(uuid::Uuid::from_u128(43)),
        name: "astray".to_owned(),
        flavor_id: "1".to_owned(),
        volume_gb: 2,
        engine: redtrove_core::topology::Engine::Redis,
    };
    compute.ensure(&spec).await.unwrap();
    sweep_orphans(&sim).await;
    let listed = store.orphans().await.unwrap();
    assert_eq!(listed.iter().map(|orphan| orphan.instance).collect::<Vec<_>>(), [spec.id]);
    // For a day nobody looks, and nobody is warned.
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    sweep_orphans(&sim).await;
    assert_eq!(sim.machines(), [spec.id], "not yet");
    let first = store.orphans().await.unwrap()[0].first_seen;
    assert!(first > listed[0].first_seen, "it is seen for the first time");
    while store.now().await.unwrap().since(first) < Duration::from_secs(24 * 60 * 60 - 900) {
        tokio::time::sleep(Duration::from_secs(500)).await;
        sweep_orphans(&sim).await;
        assert_eq!(sim.machines(), [spec.id], "not yet");
        assert_eq!(store.orphans().await.unwrap()[0].first_seen, first, "the first look counts");
    }
    tokio::time::sleep(Duration::from_secs(500)).await;
    sweep_orphans(&sim).await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    sweep_orphans(&sim).await;
    assert_eq!((sim.machines(), store.orphans().await.unwrap()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn two_hundred_guests_half_of_them_silent_are_told_apart_within_two_heartbeats() {
    let sim = world(5).await;
    let mut clusters = Vec::new();
    for _ in 0..50 {
        let (id, task) = submit_create(&sim, 4).await;
        assert_eq!(run_until_ended(&sim, task).await, TaskState::Succeeded);
        clusters.push(id);
    }
    let World { compute, .. } = sim.observer();
    let engine = Engine::new(sim.incarnation(), options("monitor"), CancellationToken::new());
    let watch = async {
        tokio::time::sleep(Duration::from_secs(11)).await;
        let silenced = sim.observer().store.now().await.unwrap();
        for id in &clusters[..25] {
            for member in instances(&sim, *id).await {
                compute.destroy(member.id, redtrove_engine::ports::Keep::Nothing).await.unwrap();
            }
        }
        tokio::time::sleep(options("").heartbeat * 2).await;
        for (n, id) in clusters.iter().enumerate() {
            for member in instances(&sim, *id).await {
                let since = member.heard.silent_since;
                assert_eq!(since.is_some(), n < 25, "{}: {since:?}", member.name);
                assert!(since.is_none_or(|since| since <= silenced), "since it was last heard");
            }
        }
    };
    tokio::select! {
        () = engine.run_monitor() => {}
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_that_takes_longer_than_the_right_to_watch_keeps_it_and_is_written() {
    let (sim, id) = formed(8, 2).await;
    let monitor = |owner| {
        let options = Options { heartbeat: Duration::from_secs(1), ..options(owner) };
        Engine::new(sim.incarnation(), options, CancellationToken::new())
    };
    let (one, other) = (monitor("one"), monitor("other"));
    let watch = async {
        // As where thousands of members are silent; the right lasts three seconds.
        sim.set_chaos(Chaos::Late("complete_instances", Duration::from_secs(5)));
        tokio::time::sleep(Duration::from_secs(12)).await;
        let members = instances(&sim, id).await;
        assert!(members.iter().all(|member| member.heard.redis == RedisState::Running), "nobody wrote what it heard");
    };
    tokio::select! {
        () = one.run_monitor() => {}
        () = other.run_monitor() => {}
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_says_how_many_slots_it_serves_and_no_more_than_once() {
    let (sim, id) = formed(6, 3).await;
    let engine = Engine::new(sim.incarnation(), options("monitor"), CancellationToken::new());
    let served = async || cluster(&sim, id).await.unwrap().0;
    let watch = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let whole = served().await;
        assert_eq!(whole.slots_served, Some(16_384));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(served().await.updated, whole.updated, "nothing is written that is no news");
        let member = &instances(&sim, id).await[0];
        sim.observer().compute.destroy(member.id, redtrove_engine::ports::Keep::Nothing).await.unwrap();
        tokio::time::sleep(Duration::from_secs(45)).await;
        assert_eq!(served().await.slots_served, Some(0), "the others hold it for failed and answer CLUSTERDOWN");
        assert_eq!(engine.seen().unserved(), 1);
    };
    tokio::select! {
        () = engine.run_monitor() => {}
        () = watch => {}
    }
}
