//! A real broker, from its start to the last process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;

use super::{RabbitMq, SharedBroker, speaks_amqp, test_vhost};
use crate::process::table::of_stack;
use crate::wait_for;

#[test]
fn a_broker_starts_in_a_private_folder_stops_starts_again_and_leaves_nothing() {
    let private = tempfile::tempdir().expect("a directory");
    fs::set_permissions(private.path(), fs::Permissions::from_mode(0o700)).expect("private");
    let dir = private.path().join("stack");
    fs::create_dir(&dir).expect("a directory");
    let dir = dir.canonicalize().expect("it is there");

    let mut rabbitmq = RabbitMq::start(&dir, &["one".to_owned()]).expect("it starts");
    let listen = rabbitmq.broker.listen;
    assert!(of_stack(&dir).iter().any(|found| found.name == "epmd"), "its own epmd");
    let first = rabbitmq.process();
    assert!(!first.is_gone());

    rabbitmq.stop().expect("it stops");
    assert!(first.is_gone() && !speaks_amqp(listen));
    rabbitmq.start_again().expect("it starts again");
    wait_for("the broker to speak", Duration::from_secs(20), || Ok(speaks_amqp(listen).then_some(())))
        .expect("it does");

    rabbitmq.process().signal(Signal::STOP).expect("paused");
    rabbitmq.end().expect("it ends even so");
    rabbitmq.end().expect("twice is fine");
    wait_for("the broker's helpers to go", Duration::from_secs(10), || Ok(of_stack(&dir).is_empty().then_some(())))
        .expect("nothing is left");
}

#[test]
fn every_test_gets_a_virtual_host_of_its_own() {
    let one = test_vhost().expect("a virtual host");
    let two = test_vhost().expect("another");
    assert_ne!(one.url, two.url);
    let host = |url: &str| url.rsplit_once('/').map(|(host, _)| host.to_owned());
    assert_eq!(host(&one.url), host(&two.url), "one broker for both");
}

#[test]
fn a_shared_broker_runs_out_of_virtual_hosts_with_a_clear_word() {
    let broker = SharedBroker::with_vhosts(1).expect("it starts");
    super::shared::take(broker.directory()).expect("the only one");
    let error = super::shared::take(broker.directory()).expect_err("no second");
    assert_eq!(error.to_string(), "all virtual hosts of the shared broker are taken");
    let dir = broker.directory().canonicalize().expect("it is there");
    drop(broker);
    assert!(!dir.exists());
    wait_for("the broker's helpers to go", Duration::from_secs(10), || Ok(of_stack(&dir).is_empty().then_some(())))
        .expect("nothing is left");
}
