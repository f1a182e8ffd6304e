//! The sending side: one connection that stays, a confirm for each message, two seconds at most.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation};
use redtrove_engine::ports::{Bus, BusError, Clock, WakeUp};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::{Dialer, LinkError};
use crate::message;
use crate::settings::Settings;
use crate::topology::EXCHANGE;

/// For a connection and the broker's confirm together.
const PUBLISHES_WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
enum State {
    Down(String),
    Up(Line),
}

/// What a publish needs of a link.
#[derive(Clone)]
struct Line {
    channel: Channel,
    /// Cancelled by a publish that found the line unusable; the background task then makes a new one.
    broken: CancellationToken,
}

/// Publishes wake-ups. Clones share one connection.
#[derive(Clone)]
pub struct Publisher {
    state: watch::Receiver<State>,
}

impl Publisher {
    /// Connects in the background, on `tasks`, and stays connected until `stop` is cancelled. `name` is what the
    /// broker shows for the connection.
    pub fn start(
        settings: Settings,
        name: &str,
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (sender, state) = watch::channel(State::Down("not connected yet".to_owned()));
        tasks.spawn(keep_connected(Dialer::new(settings.for_sending(), name, clock), sender, stop));
        Self { state }
    }

    /// Whether there is a connection. For health and metrics.
    pub fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    async fn line(&self) -> Option<Line> {
        let mut state = self.state.clone();
        match &*state.wait_for(|state| matches!(state, State::Up(_))).await.ok()? {
            State::Up(line) => Some(line.clone()),
            State::Down(_) => None,
        }
    }

    /// What is known when the time is over without a line.
    fn reason(&self) -> String {
        match &*self.state.borrow() {
            State::Down(reason) => reason.clone(),
            State::Up(_) => "the connection came too late".to_owned(),
        }
    }
}

#[async_trait]
impl Bus for Publisher {
    /// Two seconds at most, whatever the broker does.
    async fn publish(&self, wake: &WakeUp) -> Result<(), BusError> {
        let unavailable = |error: &dyn std::fmt::Display| BusError::Unavailable(error.to_string());
        let body = message::encode(wake).map_err(|error| unavailable(&error))?;
        let deadline = Instant::now() + PUBLISHES_WITHIN;
        let line = match timeout_at(deadline, self.line()).await {
            Ok(Some(line)) => line,
            Ok(None) => return Err(unavailable(&"shutting down")),
            Err(_) => return Err(BusError::Unavailable(self.reason())),
        };
        let sent_at = Instant::now();
        let sent = publish(&line.channel, EXCHANGE, message::routing_key(wake.kind), &body, message::properties(wake));
        match timeout_at(deadline, sent).await {
            Ok(Ok(Delivery::Routed)) => Ok(()),
            Ok(Ok(Delivery::Refused)) => Err(BusError::Refused),
            Ok(Ok(Delivery::Unroutable)) => {
                // Somebody removed the queue or its binding; connecting anew declares both again.
                line.broken.cancel();
                Err(BusError::Unroutable)
            }
            Ok(Err(error)) => {
                line.broken.cancel();
                Err(unavailable(&error))
            }
            Err(_) => {
                // A channel opened while the queue had no leader yet never confirms, so silence ends the line; but not
                // one that came so late that it had no time to answer.
                if sent_at.elapsed() >= PUBLISHES_WITHIN / 2 {
                    line.broken.cancel();
                }
                Err(unavailable(&"no confirm in time"))
            }
        }
    }
}

/// What the broker made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In a queue, on disk.
    Routed,
    /// No queue takes it; the broker sent it back.
    Unroutable,
    /// The broker could not store it.
    Refused,
}

/// Publishes on a channel in confirm mode and waits for the confirm.
pub(crate) async fn publish(
    channel: &Channel,
    exchange: &str,
    routing_key: lapin::types::ShortString,
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<Delivery> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel.basic_publish(exchange.into(), routing_key, options, body, properties).await?;
    Ok(match confirm.await? {
        Confirmation::Ack(None) => Delivery::Routed,
        // An unroutable message is confirmed too, after it was sent back.
        Confirmation::Ack(Some(_)) => Delivery::Unroutable,
        // Without confirm mode nothing is known; the channel is in it from birth.
        Confirmation::Nack(_) | Confirmation::NotRequested => Delivery::Refused,
    })
}

async fn keep_connected(mut dialer: Dialer, state: watch::Sender<State>, stop: CancellationToken) {
    let down = |error: &LinkError| {
        state.send_replace(State::Down(error.to_string()));
    };
    while let Some(link) = dialer.connect(&stop, down).await {
        let broken = stop.child_token();
        state.send_replace(State::Up(Line { channel: link.channel.clone(), broken: broken.clone() }));
        let reason = tokio::select! {
            () = broken.cancelled() => "the connection was given up".to_owned(),
            error = link.lost() => {
                tracing::warn!("the connection for publishing is lost: {error}");
                error.to_string()
            }
        };
        state.send_replace(State::Down(reason));
        link.close().await;
    }
}
