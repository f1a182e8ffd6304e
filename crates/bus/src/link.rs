//! One connection to the broker, and the loop that makes a new one when it is lost.
//!
//! lapin can recover connections by itself; a loop of our own is shorter than the proof that its recovery does what we
//! need, and it is the same for publisher and consumer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use redtrove_engine::ports::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::topology;

/// For everything from the first packet to the declared topology.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// For taking leave; a broker that does not answer is left without.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);
/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A link that lasted longer was a good one: its loss begins a new series of pauses.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// How often a connection that reports nothing is looked at.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// What an AMQP 0-9-1 client says first.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the connection is closed")]
    Closed,
    #[error("{0}")]
    Io(Arc<std::io::Error>),
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
}

/// A connection with the topology declared, and a channel in confirm mode.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Link {
    async fn open(settings: &Settings, name: &str) -> Result<Self, LinkError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(settings.uri().clone(), properties).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        topology::declare(&channel).await?;
        Ok(Self { connection, channel })
    }

    /// Waits until the connection is lost.
    pub(crate) async fn lost(&self) -> LinkError {
        let mut events = pin!(self.connection.events_listener());
        while self.connection.status().connected() {
            // Not every end is an event: an orderly one is not.
            match timeout(LOOKS_EVERY, events.next()).await {
                Ok(Some(Event::Error(error))) => return error.into(),
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => {}
            }
        }
        LinkError::Closed
    }

    /// Takes leave of the broker. Failing to is of no consequence.
    pub(crate) async fn close(self) {
        let _ = timeout(CLOSES_WITHIN, async {
            let _ = self.channel.close(200, "OK".into()).await;
            let _ = self.connection.close(200, "OK".into()).await;
        })
        .await;
    }
}

/// Makes links, one after the other.
pub(crate) struct Dialer {
    settings: Settings,
    name: String,
    clock: Arc<dyn Clock>,
    failures: u32,
    linked_at: Option<Instant>,
    dialed: bool,
    silent: bool,
    told: bool,
}

impl Dialer {
    /// `name` is what the broker shows for the connection.
    pub(crate) fn new(settings: Settings, name: &str, clock: Arc<dyn Clock>) -> Self {
        let name = name.to_owned();
        Self { settings, name, clock, failures: 0, linked_at: None, dialed: false, silent: false, told: false }
    }

    /// Tries until there is a link, or gives up when `stop` is cancelled. `failed` hears of each attempt in vain.
    pub(crate) async fn connect(&mut self, stop: &CancellationToken, failed: impl Fn(&LinkError)) -> Option<Link> {
        if self.linked_at.take().is_some_and(|since| since.elapsed() > GOOD_AFTER) {
            self.failures = 0;
        }
        loop {
            let pause = if self.dialed { self.next_pause() } else { Duration::ZERO };
            self.dialed = true;
            let attempt = async {
                sleep(pause).await;
                self.dial().await
            };
            let outcome = tokio::select! {
                () = stop.cancelled() => return None,
                outcome = attempt => outcome,
            };
            match outcome {
                Ok(link) => {
                    tracing::info!(broker = ?self.settings, "{} is connected to the message broker", self.name);
                    self.told = false;
                    self.linked_at = Some(Instant::now());
                    return Some(link);
                }
                Err(error) => {
                    self.tell(&error);
                    failed(&error);
                }
            }
        }
    }

    async fn dial(&mut self) -> Result<Link, LinkError> {
        if self.silent {
            self.greet().await?;
            self.silent = false;
        }
        match timeout(CONNECTS_WITHIN, Link::open(&self.settings, &self.name)).await {
            Ok(link) => link,
            Err(_) => {
                self.silent = true;
                Err(LinkError::Silent(CONNECTS_WITHIN))
            }
        }
    }

    /// Asks a broker that was silent for one byte. lapin keeps a thread and a socket for each connection whose
    /// handshake nobody answers, so a frozen broker is asked this way until it has thawed.
    async fn greet(&self) -> Result<(), LinkError> {
        let io = |error| LinkError::Io(Arc::new(error));
        let exchange = async {
            let mut stream = TcpStream::connect(self.settings.address()).await.map_err(io)?;
            stream.write_all(GREETING).await.map_err(io)?;
            stream.read_u8().await.map_err(io)
        };
        match timeout(CONNECTS_WITHIN, exchange).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(LinkError::Silent(CONNECTS_WITHIN)),
        }
    }

    /// One warning for a series of failures: the others say nothing new.
    fn tell(&mut self, error: &LinkError) {
        if std::mem::replace(&mut self.told, true) {
            tracing::debug!(broker = ?self.settings, "{} cannot reach the message broker: {error}", self.name);
        } else {
            tracing::warn!(
                broker = ?self.settings,
                "{} cannot reach the message broker and keeps trying: {error}", self.name
            );
        }
    }

    /// Doubles with every attempt; up to half is taken off at random, so that daemons do not come back in step.
    fn next_pause(&mut self) -> Duration {
        let (first, longest) = PAUSES;
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        pause.saturating_sub(self.clock.jitter(pause / 2))
    }
}
