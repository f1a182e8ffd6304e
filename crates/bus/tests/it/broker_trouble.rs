//! A broker that dies, and one that freezes. Each test has a broker of its own.

use std::path::Path;
use std::time::Duration;

use redtrove_bus::topology::QUEUE;
use redtrove_engine::ports::BusError;
use redtrove_testkit::rabbitmq::RabbitMq;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{PATIENCE, Receiving, Sending, wake};

const VHOST: &str = "trouble";

/// Waits until the broker's own directory of quorum queues, which is written with a delay, has the queue on disk.
///
/// RabbitMQ 3.10 that is killed before takes the queue for one that never ran, starts it from nothing and holds no
/// election: the queue then is without a leader for good.
async fn queue_is_on_disk(directory: &Path) {
    let began = Instant::now();
    let subdirectories = |path: &Path| {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    loop {
        let nodes = subdirectories(&directory.join("mnesia"));
        let files = nodes.iter().flat_map(|node| subdirectories(&node.join("quorum")));
        let names: Vec<_> = files.map(|system| std::fs::read(system.join("names.dets")).unwrap_or_default()).collect();
        if names.iter().any(|bytes| bytes.windows(QUEUE.len()).any(|window| window == QUEUE.as_bytes())) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the broker does not write down its queue");
        sleep(Duration::from_millis(20)).await;
    }
}

fn broker() -> (RabbitMq, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (RabbitMq::start(directory.path(), &[VHOST.to_owned()]).unwrap(), directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_killed_broker_is_back_so_are_publisher_and_consumer() {
    let (mut broker, directory) = broker();
    let url = broker.url(VHOST);
    let (sending, mut receiving) = (Sending::start(&url), Receiving::start(&url, None));
    let before = wake();
    sending.publish_at_last(&before).await;
    assert_eq!(receiving.next().await, before);

    queue_is_on_disk(directory.path()).await;
    broker.process().kill().unwrap();
    receiving.connected(false).await;
    assert!(matches!(sending.publish(&wake()).await, Err(BusError::Unavailable(_))));
    let refused = Instant::now();
    while sending.publisher.is_connected() {
        assert!(refused.elapsed() < PATIENCE, "the publisher still says that it is connected");
        sleep(Duration::from_millis(20)).await;
    }

    broker.start_again().unwrap();
    let back = Instant::now();
    let after = wake();
    sending.publish_at_last(&after).await;
    assert_eq!(receiving.next().await, after);
    assert!(back.elapsed() < Duration::from_secs(30), "back only after {:?}", back.elapsed());
    receiving.end().await;
    sending.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_costs_a_publish_two_seconds_and_is_noticed() {
    let (broker, _directory) = broker();
    let url = broker.url(VHOST);
    let (sending, mut receiving) = (Sending::start(&url), Receiving::start(&url, None));
    let before = wake();
    sending.publish_at_last(&before).await;
    assert_eq!(receiving.next().await, before);

    broker.process().signal(Signal::STOP).unwrap();
    // A connection that was good, and one that never gets an answer. `publish` checks the time.
    assert!(matches!(sending.publish(&wake()).await, Err(BusError::Unavailable(_))));
    let newcomer = Sending::start(&url);
    assert!(matches!(newcomer.publish(&wake()).await, Err(BusError::Unavailable(_))));
    // No heartbeat for 20 s.
    receiving.connected(false).await;
    timeout(Duration::from_secs(10), newcomer.end()).await.expect("ends although the broker is frozen");

    broker.process().signal(Signal::CONT).unwrap();
    let after = wake();
    sending.publish_at_last(&after).await;
    while receiving.next().await != after {}
    receiving.end().await;
    sending.end().await;
}
