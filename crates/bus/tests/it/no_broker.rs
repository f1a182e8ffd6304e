//! Nobody answers, or not as a broker does.

use std::net::TcpListener;

use redtrove_engine::ports::BusError;

use crate::support::{Receiving, Sending, wake};

fn reason(outcome: Result<(), BusError>) -> String {
    match outcome {
        Err(BusError::Unavailable(reason)) => reason,
        other => panic!("{other:?} is not Unavailable"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_listens_publishing_fails_in_time_and_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sending = Sending::start(&format!("amqp://u:canary@{free}/x"));
    let reason = reason(sending.publish(&wake()).await);
    assert!(reason.contains("refused") && !reason.contains("canary"), "{reason}");
    assert!(!sending.publisher.is_connected());
    sending.end().await;
    assert!(Receiving::start(&format!("amqp://u:canary@{free}/x"), None).end().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_the_connection_and_is_silent_is_no_trap() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://u:p@{}/x", silent.local_addr().unwrap());
    let sending = Sending::start(&url);
    for _ in 0..3 {
        reason(sending.publish(&wake()).await);
    }
    let receiving = Receiving::start(&url, None);
    assert!(receiving.end().await.is_empty());
    sending.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_publisher_fails_at_once() {
    let sending = Sending::start("amqp://u:p@127.0.0.1:1/x");
    let publisher = sending.publisher.clone();
    sending.end().await;
    let outcome = redtrove_engine::ports::Bus::publish(&publisher, &wake()).await;
    assert!(reason(outcome).contains("shutting down"));
}
