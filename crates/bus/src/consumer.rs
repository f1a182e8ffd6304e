//! The receiving side: connect, declare, consume, and again when the connection is lost.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use redtrove_engine::ports::{Clock, WakeUp};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::dead_letter::{DeadLetterError, put_aside};
use crate::link::{Dialer, Link};
use crate::message::decode;
use crate::settings::Settings;
use crate::topology::QUEUE;

/// For each of the broker's answers while consuming is set up and a message is acknowledged.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// Done with, successfully or not: the database knows. It is acknowledged.
    Ack,
    /// Of no use to anybody, for this reason. It is put aside as a dead letter, then acknowledged.
    DeadLetter(String),
}

/// What is done about a wake-up.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Called for each message, for several at a time, and perhaps twice for one. The message is held until this
    /// returns; the broker gives up on one that is held for 30 minutes.
    async fn handle(&self, wake: WakeUp) -> Handled;
}

/// Receives wake-ups from the taskmanagers' queue.
pub struct Consumer {
    settings: Settings,
    name: String,
    clock: Arc<dyn Clock>,
    prefetch: u16,
    connected: watch::Sender<bool>,
    dead_letters: Arc<AtomicU64>,
}

/// Why consuming ended. A new connection follows.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the broker does not answer")]
    Silent,
    #[error("the broker ended the subscription; was the queue deleted?")]
    Cancelled,
    #[error("{0}")]
    DeadLetter(#[from] DeadLetterError),
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
}

impl Consumer {
    /// A consumer that handles up to `prefetch` messages at a time (0 counts as 1). `name` is what the broker shows
    /// for the connection.
    pub fn new(settings: Settings, name: &str, clock: Arc<dyn Clock>, prefetch: u16) -> Self {
        let (connected, _) = watch::channel(false);
        let (name, dead_letters) = (name.to_owned(), Arc::default());
        Self { settings, name, clock, prefetch: prefetch.max(1), connected, dead_letters }
    }

    /// Whether messages can come in; changes as connections come and go. For health and metrics.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// How many messages were put aside since the start. For metrics.
    pub fn dead_letters(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dead_letters)
    }

    /// Consumes until `stop` is cancelled; then messages under way are finished and acknowledged.
    pub async fn run(&self, handler: &dyn Handler, stop: &CancellationToken) {
        let mut dialer = Dialer::new(self.settings.clone(), &self.name, Arc::clone(&self.clock));
        while let Some(link) = dialer.connect(stop, |_| {}).await {
            let outcome = self.serve(&link, handler, stop).await;
            self.connected.send_replace(false);
            if let Err(error) = outcome {
                tracing::warn!("the subscription to {QUEUE} is lost, connecting again: {error}");
            }
            link.close().await;
        }
    }

    /// Consumes on one connection. Ok when `stop` was cancelled.
    async fn serve(&self, link: &Link, handler: &dyn Handler, stop: &CancellationToken) -> Result<(), SessionError> {
        let deliveries = timeout(ANSWERS_WITHIN, self.subscribe(link)).await.map_err(|_| SessionError::Silent)??;
        self.connected.send_replace(true);
        let failure = OnceLock::new();
        let end = stop.child_token();
        let fail = |error: SessionError| {
            // The first failure is the cause of the others.
            let _ = failure.set(error);
            end.cancel();
        };
        deliveries
            .take_until(end.cancelled())
            .for_each_concurrent(usize::from(self.prefetch), async |delivery| {
                let outcome = match delivery {
                    Ok(delivery) => self.settle(link, handler, delivery).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = outcome {
                    fail(error);
                }
            })
            .await;
        match failure.into_inner() {
            Some(error) => Err(error),
            None if stop.is_cancelled() => Ok(()),
            None => Err(SessionError::Cancelled),
        }
    }

    async fn subscribe(&self, link: &Link) -> lapin::Result<lapin::Consumer> {
        let channel = link.connection.create_channel().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        channel.basic_consume(QUEUE.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await
    }

    /// Handles one message and tells the broker.
    async fn settle(&self, link: &Link, handler: &dyn Handler, delivery: Delivery) -> Result<(), SessionError> {
        let handled = match decode(&delivery.data, delivery.properties.headers().as_ref()) {
            Ok(wake) => {
                let (task, cluster, request) = (wake.task, wake.cluster, wake.request.clone());
                match AssertUnwindSafe(handler.handle(wake)).catch_unwind().await {
                    Ok(handled) => handled,
                    Err(_) => {
                        tracing::error!(
                            task.id = %task, cluster.id = %cluster, request.id = %request,
                            "handling the message of task {task} panicked; the message is returned to the queue"
                        );
                        let options = BasicRejectOptions { requeue: true };
                        return answered(delivery.acker.reject(options)).await;
                    }
                }
            }
            Err(reason) => Handled::DeadLetter(reason),
        };
        if let Handled::DeadLetter(reason) = handled {
            tracing::warn!(
                routing_key = delivery.routing_key.as_str(),
                "a message of {} bytes is put aside as a dead letter: {reason}",
                delivery.data.len()
            );
            put_aside(&link.channel, &delivery, &reason, self.clock.now()).await?;
            self.dead_letters.fetch_add(1, Ordering::Relaxed);
        }
        answered(delivery.acker.ack(BasicAckOptions::default())).await
    }
}

/// Bounds an acknowledgement in time. One that was not needed any more (`false`) is fine.
async fn answered(answer: impl Future<Output = lapin::Result<bool>>) -> Result<(), SessionError> {
    timeout(ANSWERS_WITHIN, answer).await.map_err(|_| SessionError::Silent)?.map(|_| ()).map_err(SessionError::from)
}
