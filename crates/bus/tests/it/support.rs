//! What the tests share: a clock that stands still, a handler that passes on, a look into the dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use redtrove_bus::{Consumer, Handled, Handler, Publisher, Settings};
use redtrove_core::{RequestId, Timestamp};
use redtrove_engine::ports::{Bus, BusError, Clock, WakeUp};
use redtrove_engine::task::TaskKind;
use secrecy::SecretString;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Stands at 2025-11-13T02:13:20 and is not jittery.
pub(crate) struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_763_000_000_000)
    }

    fn random_id(&self) -> Uuid {
        Uuid::nil()
    }

    fn ordered_id(&self) -> Uuid {
        Uuid::nil()
    }

    fn jitter(&self, most: Duration) -> Duration {
        most / 2
    }
}

pub(crate) fn settings(url: &str) -> Settings {
    Settings::parse(&SecretString::from(url)).unwrap()
}

/// A wake-up that differs from all others of this process.
pub(crate) fn wake() -> WakeUp {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::SeqCst)));
    WakeUp {
        task: id.to_string().parse().unwrap(),
        cluster: id.to_string().parse().unwrap(),
        kind: TaskKind::CreateCluster,
        request: RequestId::new(id),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    }
}

/// A publisher that ends with this value.
pub(crate) struct Sending {
    pub(crate) publisher: Publisher,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Sending {
    pub(crate) fn start(url: &str) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let publisher = Publisher::start(settings(url), "test publisher", Arc::new(StillClock), &tasks, stop.clone());
        Self { publisher, tasks, stop }
    }

    /// Publishes; fails unless the answer came within 6 s: 2 s are the product's, no heartbeat comes so soon.
    pub(crate) async fn publish(&self, wake: &WakeUp) -> Result<(), BusError> {
        let began = Instant::now();
        let outcome = self.publisher.publish(wake).await;
        assert!(began.elapsed() < Duration::from_secs(6), "publishing took {:?}", began.elapsed());
        outcome
    }

    /// Publishes until the broker has it.
    pub(crate) async fn publish_at_last(&self, wake: &WakeUp) {
        let began = Instant::now();
        while let Err(error) = self.publish(wake).await {
            assert!(began.elapsed() < PATIENCE, "publishing still fails: {error}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("the publisher ends");
    }
}

/// Passes on what it is given, or panics if it is told to.
pub(crate) struct PassOn {
    seen: UnboundedSender<WakeUp>,
    panics_at: Option<WakeUp>,
}

#[async_trait]
impl Handler for PassOn {
    async fn handle(&self, wake: WakeUp) -> Handled {
        self.seen.send(wake.clone()).unwrap();
        assert_ne!(Some(wake), self.panics_at, "this one is the last straw");
        Handled::Ack
    }
}

/// A consumer that ends with this value.
pub(crate) struct Receiving {
    seen: UnboundedReceiver<WakeUp>,
    connected: tokio::sync::watch::Receiver<bool>,
    stop: CancellationToken,
    running: JoinSet<()>,
    dead_letters: Arc<AtomicU64>,
}

impl Receiving {
    pub(crate) fn start(url: &str, panics_at: Option<WakeUp>) -> Self {
        let (sender, seen) = unbounded_channel();
        let consumer = Consumer::new(settings(url), "test consumer", Arc::new(StillClock), 4);
        let (stop, connected) = (CancellationToken::new(), consumer.connected());
        let dead_letters = consumer.dead_letters();
        let (handler, token) = (PassOn { seen: sender, panics_at }, stop.clone());
        let mut running = JoinSet::new();
        running.spawn(async move { consumer.run(&handler, &token).await });
        Self { seen, connected, stop, running, dead_letters }
    }

    pub(crate) async fn connected(&mut self, wanted: bool) {
        timeout(PATIENCE, self.connected.wait_for(|is| *is == wanted))
            .await
            .unwrap_or_else(|_| panic!("the consumer's connected stays {}", !wanted))
            .unwrap();
    }

    pub(crate) fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    pub(crate) async fn next(&mut self) -> WakeUp {
        timeout(PATIENCE, self.seen.recv()).await.expect("a message arrives").unwrap()
    }

    /// Ends the consumer; whatever it saw that nobody asked for comes back.
    pub(crate) async fn end(mut self) -> Vec<WakeUp> {
        self.stop.cancel();
        timeout(PATIENCE, self.running.join_next()).await.expect("the consumer ends").unwrap().unwrap();
        let mut rest = Vec::new();
        while let Ok(wake) = self.seen.try_recv() {
            rest.push(wake);
        }
        rest
    }
}

/// A plain client, for what the product never does.
pub(crate) async fn client(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Takes `count` dead letters.
pub(crate) async fn dead_letters(channel: &Channel, count: usize) -> Vec<Delivery> {
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut deliveries = channel.basic_consume("redtrove.dead".into(), "".into(), options, arguments).await.unwrap();
    let mut letters = Vec::new();
    while letters.len() < count {
        let next = timeout(PATIENCE, deliveries.next()).await;
        let letter = next.unwrap_or_else(|_| panic!("only {} dead letters", letters.len())).unwrap().unwrap();
        letter.ack(BasicAckOptions::default()).await.unwrap();
        letters.push(letter);
    }
    letters
}

/// A header's text; empty if it is missing.
pub(crate) fn header(letter: &Delivery, name: &str) -> String {
    match letter.properties.headers().as_ref().and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    }
}
