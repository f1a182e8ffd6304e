//! The message bus, which only ever wakes somebody up.

use async_trait::async_trait;
use redtrove_core::{ClusterId, RequestId, TaskId};

use crate::task::TaskKind;

/// "There is a task": all that a message says. Losing, doubling or delaying one changes nothing but the time a
/// task begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUp {
    /// The task.
    pub task: TaskId,
    /// The cluster it works on.
    pub cluster: ClusterId,
    /// What it does.
    pub kind: TaskKind,
    /// The request that asked for it.
    pub request: RequestId,
    /// The W3C trace context it was asked for in.
    pub traceparent: Option<String>,
}

/// A message that did not demonstrably arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The broker could not be reached, or did not confirm in time.
    #[error("the message broker does not answer: {0}")]
    Unavailable(String),
    /// The broker confirmed that no queue takes the message.
    #[error("no queue takes the message")]
    Unroutable,
    /// The broker refused the message.
    #[error("the message broker refused the message")]
    Refused,
}

/// The sending side of the message bus.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends `wake` and returns once the broker has it. Bounded in time by the implementation.
    async fn publish(&self, wake: &WakeUp) -> Result<(), BusError>;
}

/// No broker: the sweeper alone finds the work.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBus;

#[async_trait]
impl Bus for NoBus {
    async fn publish(&self, _: &WakeUp) -> Result<(), BusError> {
        Ok(())
    }
}
