//! Thousands of wake-ups of tasks that ended long ago, such as a broker keeps that was away for long: they are of no use
//! to anybody, and in nobody's way for more than a moment.

use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::support::world::World;
use crate::support::{until, within};

/// How many there are.
const MESSAGES: u32 = 10_000;
/// The most that a new cluster may wait: a sweeper looks every 5 s, whatever stands in the queue.
const CLAIMED_WITHIN: Duration = Duration::from_secs(25);
/// For all of them.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

#[test]
fn ten_thousand_old_messages_keep_nobody_waiting() {
    let mut world = World::with_broker(|_| ());
    let url = world.stack().description().amqp.clone().unwrap();
    let cluster = world.create("ended", 1);
    cluster.wait_active();
    let body = json!({
        "schema": "redtrove.task/1", "task_id": cluster.task, "cluster_id": cluster.id, "kind": "create_cluster",
        "request_id": cluster.request_id,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_connection, channel) = runtime.block_on(connect(&url));
    runtime.block_on(publish(&channel, &body));

    let asked = Instant::now();
    let new = world.create("new", 1);
    within("the new cluster to be taken up", CLAIMED_WITHIN, || {
        ["running", "succeeded"].map(|state| json!(state)).contains(&world.tasks(&["show", &new.task])["task"]["state"])
    });
    let left = || runtime.block_on(length(&channel));
    within("the queue to be empty", DRAINED_WITHIN.saturating_sub(asked.elapsed()), || left() == 0);
    new.wait_active();
    assert_eq!(world.metric("taskmanager", "redtrove_bus_dead_letters_total"), Some(0.0));
    for task in [&cluster.task, &new.task] {
        assert_eq!(world.tasks(&["show", task])["task"]["attempt"], 1, "nothing was done twice");
    }
    until("the consumer to be there", || world.metric("taskmanager", "redtrove_bus_connected") == Some(1.0));
    world.end(&[]);
}

async fn connect(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// All at once, without waiting for confirms.
async fn publish(channel: &Channel, body: &Value) {
    let body = body.to_string();
    for _ in 0..MESSAGES {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
        let key = "task.create_cluster".into();
        channel.basic_publish("redtrove".into(), key, options, body.as_bytes(), properties).await.unwrap();
    }
}

async fn length(channel: &Channel) -> u32 {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("redtrove.taskmanager".into(), options, FieldTable::default()).await.unwrap();
    queue.message_count()
}
