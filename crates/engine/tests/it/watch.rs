//! The monitor and the orphan sweeper.

use std::time::Duration;

use redtrove_core::instance::{Lifecycle, RedisState};
use redtrove_core::status::{MemberStatus, member_status};
use redtrove_engine::sim::{Chaos, Sim, Trouble};
use redtrove_engine::task::TaskState;
use redtrove_engine::{Engine, World};
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
