//! The broker is stopped, or paused: requests are answered at once and clusters are built all the same; when it is
//! back, so are the messages, without a restart of any daemon.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use redtrove_testkit::Process;
use rustix::process::Signal;
use serde_json::json;

use crate::support::clusters::Cluster;
use crate::support::world::{Expected, World};
use crate::support::{until, within};

/// For the answer to a create, whatever the broker does: one that waited for it would take 2 s, each time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// For the consumer, after the broker listens again; its longest pause between two attempts is 5 s.
const BACK_WITHIN: Duration = Duration::from_secs(25);

const EXPECTED: Expected<'_> = &[
    ("cannot reach the message broker", "the story takes the broker away"),
    ("is lost", "connections end with the broker"),
    ("lapin", "the library's own words about the same"),
];

#[test]
fn a_stopped_broker_delays_no_answer_and_no_cluster_for_long() {
    let mut world = World::with_own_broker(|_| ());
    assert_messages_arrive(&world, "before");
    let daemons = daemons(&world);

    world.daemon("rabbitmq").terminate(Duration::from_secs(20)).unwrap();
    let cluster = create_at_once(&world, "without-broker");
    cluster.wait_active();
    assert_swept(&world, &cluster);

    world.stack().start_again("rabbitmq").unwrap();
    let url = world.stack().description().amqp.clone().expect("a broker");
    let broker = url.split(['@', '/']).nth(3).expect("amqp://user:password@address:port/vhost").to_owned();
    until("the broker to boot", || TcpStream::connect(&broker).is_ok());
    within("the consumer to be back", BACK_WITHIN, || connected(&world));
    assert_messages_arrive(&world, "after");
    assert_eq!(daemons, self::daemons(&world), "no daemon was restarted");
    world.end(EXPECTED);
}

#[test]
fn a_paused_broker_delays_no_answer_and_no_cluster_for_long() {
    let world = World::with_own_broker(|_| ());
    assert_messages_arrive(&world, "before");
    let (daemons, broker) = (daemons(&world), world.daemon("rabbitmq"));

    broker.signal(Signal::STOP).unwrap();
    let cluster = create_at_once(&world, "with-paused-broker");
    cluster.wait_active();
    assert_swept(&world, &cluster);

    broker.signal(Signal::CONT).unwrap();
    within("the consumer to be back", BACK_WITHIN, || connected(&world));
    assert_messages_arrive(&world, "after");
    assert_eq!(daemons, self::daemons(&world), "no daemon was restarted");
    world.end(EXPECTED);
}

/// For how long requests come while there is no broker.
const AWAY: Duration = Duration::from_secs(60);

#[test]
fn a_broker_that_is_away_for_a_minute_is_missed_by_nobody() {
    let mut world = World::with_own_broker(|options| options.taskmanagers = 2);
    assert_messages_arrive(&world, "before");
    let daemons = daemons(&world);
    world.daemon("rabbitmq").kill().unwrap();
    within("the gauges to say so", BACK_WITHIN, || gauges(&world) == [Some(0.0); 2]);
    let (gone, mut clusters) = (Instant::now(), Vec::new());
    while gone.elapsed() < AWAY || clusters.len() <= 3 {
        let cluster = create_at_once(&world, &format!("away-{}", clusters.len()));
        cluster.wait_active();
        clusters.push(cluster);
        if let [.., before, _] = &clusters[..] {
            before.delete();
            before.wait_gone();
        }
    }

    world.stack().start_again("rabbitmq").unwrap();
    within("the consumers to be back", AWAY, || gauges(&world) == [Some(1.0); 2]);
    assert_messages_arrive(&world, "after");
    for cluster in &clusters {
        let tasks = world.tasks(&["list", "--cluster", &cluster.id]);
        for task in tasks.as_array().unwrap() {
            assert_eq!((&task["state"], &task["attempt"]), (&json!("succeeded"), &json!(1)), "once and no more");
        }
    }
    assert_eq!(daemons, self::daemons(&world), "no daemon was restarted");
    world.end(EXPECTED);
}

fn gauges(world: &World) -> [Option<f64>; 2] {
    ["taskmanager", "taskmanager-2"].map(|name| world.metric(name, "redtrove_bus_connected"))
}

fn daemons(world: &World) -> [Process; 2] {
    ["api", "taskmanager"].map(|name| world.daemon(name))
}

fn connected(world: &World) -> bool {
    world.metric("taskmanager", "redtrove_bus_connected") == Some(1.0)
}

/// A cluster whose create was answered at once. A busy machine may take its time once or twice.
fn create_at_once(world: &World, name: &str) -> Cluster {
    let mut took = Vec::new();
    loop {
        let asked = Instant::now();
        let cluster = world.create(&format!("{name}-{}", took.len()), 1);
        took.push(asked.elapsed());
        if asked.elapsed() < ANSWERED_WITHIN {
            return cluster;
        }
        assert!(took.len() < 3, "the answers took {took:?}");
    }
}

fn was_brought(world: &World, cluster: &Cluster) -> bool {
    let words = format!("a message brought task {}", cluster.task);
    world.logs().iter().flat_map(|log| &log.lines).any(|line| line.message.contains(&words))
}

/// The cluster was built without its message.
fn assert_swept(world: &World, cluster: &Cluster) {
    assert!(!was_brought(world, cluster), "the broker was away, and yet it brought a message");
}

/// Messages may take an attempt or two until the publisher is back, too; soon one brings a task.
fn assert_messages_arrive(world: &World, name: &str) {
    let mut n = 0;
    until("a message to bring a task", || {
        n += 1;
        let cluster = create_at_once(world, &format!("{name}-{n}"));
        cluster.wait_active();
        was_brought(world, &cluster)
    });
}
