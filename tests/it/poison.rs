//! A message that nobody can read is put aside with its reason, and the next one is served.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use redtrove_testkit::wait_for;
use tokio::runtime::Runtime;

use crate::support::world::{Expected, World};
use crate::support::{PATIENCE, until};

const EXPECTED: Expected<'_> = &[("is put aside as a dead letter", "the story sends what nobody can read")];

/// Each message, and a part of the reason that goes with it.
const POISON: [(&[u8], &str); 4] = [
    (b"\xff\x00 no text", "not a wake-up"),
    (b"{\"schema\": \"redtrove.task/9\"}", "schema 'redtrove.task/9' is not"),
    (b"{\"schema\": \"redtrove.task/1\"}", "missing field"),
    (b"[]", "not a wake-up"),
];

#[test]
fn what_nobody_can_read_is_put_aside_and_the_next_message_is_served() {
    let mut world = World::with_broker(|_| ());
    let url = world.stack().description().amqp.clone().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // Whoever connects makes exchange and queue; before that a message has nowhere to go.
    until("the consumer to be there", || world.metric("taskmanager", "redtrove_bus_connected") == Some(1.0));
    let (_connection, channel) = runtime.block_on(connect(&url));
    for (body, _) in POISON {
        runtime.block_on(publish(&channel, body));
    }
    let cluster = world.create("after-poison", 1);

    for (body, reason) in POISON {
        let letter = next_dead_letter(&runtime, &channel);
        assert_eq!(letter.delivery.data, body, "dead letters keep their order");
        let headers = letter.delivery.properties.headers().clone().expect("headers");
        let header = |name: &str| match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name} is {other:?}"),
        };
        assert!(header("x-redtrove-reason").contains(reason), "{}", header("x-redtrove-reason"));
        assert_eq!(header("x-redtrove-routing-key"), "task.create_cluster");
    }
    cluster.wait_active();
    let words = format!("a message brought task {}", cluster.task);
    assert!(world.log("taskmanager").iter().any(|line| line.message.contains(&words)), "its message was served");
    assert_eq!(world.metric("taskmanager", "redtrove_bus_dead_letters_total"), Some(4.0));
    world.end(EXPECTED);
}

/// How many messages there are that nobody can read.
const MANY: u32 = 1_000;
/// The most dead letters that are kept.
const KEPT: u32 = 10_000;

#[test]
fn a_flood_of_messages_that_nobody_can_read_keeps_nobody_waiting() {
    let mut world = World::with_broker(|_| ());
    let url = world.stack().description().amqp.clone().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    until("the consumer to be there", || world.metric("taskmanager", "redtrove_bus_connected") == Some(1.0));
    let (_connection, channel) = runtime.block_on(connect(&url));
    let huge = format!("{{\"schema\": \"redtrove.task/1\", \"more\": \"{}\"}}", "x".repeat(1024 * 1024));
    let task = "01900000-0000-7000-8000-000000000001";
    let unknown = format!(
        "{{\"schema\": \"redtrove.task/1\", \"task_id\": \"{task}\", \"cluster_id\": \"00000000-0000-4000-8000-00000000000c\", \
         \"kind\": \"grow_cluster\", \"request_id\": \"req-00000000-0000-4000-8000-0000000000b1\"}}"
    );
    runtime.block_on(publish(&channel, huge.as_bytes()));
    runtime.block_on(publish(&channel, unknown.as_bytes()));
    runtime.block_on(flood(&channel, "redtrove", MANY - 1));
    let cluster = world.create("after-a-flood", 1);
    cluster.wait_active();
    let letters = || world.metric("taskmanager", "redtrove_bus_dead_letters_total");
    until("all of them to be put aside", || letters() == Some(f64::from(MANY)));
    let length = || runtime.block_on(dead_letters(&channel));
    assert_eq!(length(), MANY, "a task that nobody knows is no dead letter");
    let words = format!("task {task} is not to be claimed any more");
    assert!(world.log("taskmanager").iter().any(|line| line.message.contains(&words)), "{words}");

    runtime.block_on(flood(&channel, "redtrove.dead", KEPT));
    until("the oldest to go", || length() == KEPT);
    world.create("still-there", 1).wait_active();
    world.end(EXPECTED);
}

/// Publishes so many that nobody can read, and does not wait for confirms.
async fn flood(channel: &Channel, exchange: &str, count: u32) {
    for _ in 0..count {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let key = "task.create_cluster".into();
        channel.basic_publish(exchange.into(), key, options, b"no wake-up", properties).await.unwrap();
    }
}

async fn dead_letters(channel: &Channel) -> u32 {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("redtrove.dead".into(), options, FieldTable::default()).await.unwrap().message_count()
}

async fn connect(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn publish(channel: &Channel, body: &[u8]) {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let key = "task.create_cluster".into();
    channel.basic_publish("redtrove".into(), key, options, body, properties).await.unwrap().await.unwrap();
}

fn next_dead_letter(runtime: &Runtime, channel: &Channel) -> BasicGetMessage {
    wait_for("a dead letter", PATIENCE, || {
        let options = BasicGetOptions { no_ack: true };
        Ok(runtime.block_on(channel.basic_get("redtrove.dead".into(), options)).unwrap())
    })
    .unwrap()
}
