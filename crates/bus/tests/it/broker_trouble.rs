//! A broker that dies, and one that freezes. Each test has a broker of its own.

use std::time::Duration;

use redtrove_engine::ports::BusError;
use redtrove_testkit::rabbitmq::RabbitMq;
use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use crate::support::{Receiving, Sending, wake};

const VHOST: &str = "trouble";

fn broker() -> (RabbitMq, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (RabbitMq::start(directory.path(), &[VHOST.to_owned()]).unwrap(), directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_killed_broker_is_back_so_are_publisher_and_consumer() {
    let (mut broker, _directory) = broker();
    let url = broker.url(VHOST);
    let (sending, mut receiving) = (Sending::start(&url), Receiving::start(&url, None));
    let before = wake();
    sending.publish_at_last(&before).await;
    assert_eq!(receiving.next().await, before);

    broker.process().kill().unwrap();
    receiving.connected(false).await;
    assert!(matches!(sending.publish(&wake()).await, Err(BusError::Unavailable(_))));
    assert!(!sending.publisher.is_connected());

    broker.start_again().unwrap();
    let back = Instant::now();
    let after = wake();
    sending.publish_at_last(&after).await;
    assert_eq!(receiving.next().await, after);
    assert!(back.elapsed() < Duration::from_secs(15), "back only after {:?}", back.elapsed());
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
