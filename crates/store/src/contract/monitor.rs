//! The monitor's part, and the clock.

use std::time::Duration;

use redtrove_core::instance::{Heard, RedisState};
use redtrove_core::{InstanceId, Timestamp};
use redtrove_engine::ports::{Change, Record};

use super::{Bed, LONG};

pub(super) async fn one_monitor_at_a_time(bed: Bed) {
    assert!(bed.store.take_monitor("tm-1", LONG).await.unwrap());
    assert!(!bed.second.take_monitor("tm-2", LONG).await.unwrap());
    assert!(bed.store.take_monitor("tm-1", Duration::ZERO).await.unwrap(), "its own is renewed");
    assert!(bed.second.take_monitor("tm-2", LONG).await.unwrap(), "it had expired");
    assert!(!bed.store.take_monitor("tm-1", LONG).await.unwrap());
}

pub(super) async fn what_was_heard_is_kept(bed: Bed) {
    let new = bed.ready(3).await;
    bed.created(2).await;
    let complete = bed.store.complete_instances().await.unwrap();
    let (mut found, mut wanted): (Vec<_>, Vec<_>) =
        (complete.iter().map(|i| i.id).collect(), new.instances.iter().map(|i| i.id).collect());
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "those of the build are not complete");

    let heard = Heard {
        redis: RedisState::Running,
        silent_since: Some(Timestamp(5)),
        held_failed: true,
        volume_used_mb: Some(17),
    };
    let unknown = (InstanceId(bed.scattered()), Heard::default());
    let (first, second) = (new.instances[0].id, new.instances[1].id);
    let news = [(first, heard.clone()), (second, Heard { redis: RedisState::Loading, ..Heard::default() }), unknown];
    bed.store.put_heard(&news).await.unwrap();
    let (_, instances) = bed.second.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(instances[0].heard, heard);
    assert_eq!(instances[1].heard.redis, RedisState::Loading);
    assert_eq!(instances[2].heard, Heard::default());
    while bed.store.now().await.unwrap() <= instances[0].updated {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bed.store.put_heard(&[(first, Heard { volume_used_mb: Some(18), ..heard })]).await.unwrap();
    let (_, fuller) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(
        (fuller[0].heard.volume_used_mb, fuller[0].updated),
        (Some(18), instances[0].updated),
        "its fault is old"
    );
    bed.store.put_heard(&[(first, Heard::default())]).await.unwrap();
    let (_, instances) = bed.store.cluster(new.id).await.unwrap().unwrap();
    assert_eq!(instances[0].heard, Heard::default(), "what is no longer so is forgotten");
    bed.store.put_heard(&[]).await.unwrap();
}

pub(super) async fn deleted_instances_are_known_by_their_rows(bed: Bed) {
    let new = bed.ready(20).await;
    let lease = bed.deleting(new.id).await.lease;
    let (gone, rest) = new.instances.split_at(17);
    let changes = gone.iter().map(|instance| Change::Gone { instance: instance.id }).collect();
    bed.store.record(&lease, &Record { changes, ..Record::default() }).await.unwrap();
    let unknown = InstanceId(bed.scattered());
    let asked: Vec<_> = new.instances.iter().map(|instance| instance.id).chain([unknown]).collect();
    let deleted = bed.store.deleted_among(&asked).await.unwrap();
    assert_eq!(deleted, gone.iter().map(|instance| instance.id).collect());
    assert!(bed.store.deleted_among(&[rest[0].id, unknown]).await.unwrap().is_empty());
    assert!(bed.store.deleted_among(&[]).await.unwrap().is_empty());
}

pub(super) async fn the_clock_is_the_databases(bed: Bed) {
    let before = bed.store.now().await.unwrap();
    let new = bed.created(1).await;
    let after = bed.second.now().await.unwrap();
    let created = bed.store.task(new.task.id).await.unwrap().unwrap().created;
    assert!(before <= created && created <= after, "{before:?} {created:?} {after:?}");
}
