//! Why a call could not be answered, and the gRPC status that says so.

use std::io::ErrorKind;

use redtrove_core::NodeId;
use redtrove_guest_rpc::InvalidField;
use redtrove_guest_rpc::metadata::{Generation, refuse_generation};
use tonic::Status;

/// How every message begins that is about a full disk.
pub const NO_SPACE: &str = "no space is left on the node's volume";

/// A call that failed. The kinds are those of the contract; see the head of guest.proto.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Input that can never be right: INVALID_ARGUMENT.
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    /// The caller's turn is over: FAILED_PRECONDITION with the node's own generation in the metadata.
    #[error("generation {given} is below {highest}")]
    Late {
        /// What the caller gave.
        given: Generation,
        /// The highest that this node has seen.
        highest: Generation,
    },
    /// The node is not in the state that the method needs: FAILED_PRECONDITION.
    #[error("{0}")]
    WrongState(String),
    /// redis-server does not answer, or no space is left on the node's disk: UNAVAILABLE.
    #[error("{0}")]
    Unavailable(String),
    /// The agent is on its way out: ABORTED.
    #[error("the guest agent is being stopped")]
    Stopping,
    /// The agent's own trouble, such as a disk that cannot be read: INTERNAL.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// Trouble with the file `name` in the agent's directory.
    pub fn file(name: &str, error: &std::io::Error) -> Self {
        match error.kind() {
            // Goes away when there is room, and callers try again.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self::Unavailable(format!("{NO_SPACE}: the guest agent cannot write its file {name}"))
            }
            _ => Self::Internal(format!("the guest agent cannot read or write its file {name}: {error}")),
        }
    }

    /// What the node `own` answers where `expected` is meant.
    pub fn another(own: NodeId, expected: NodeId) -> Self {
        Self::WrongState(format!("the node is {own}, not {expected}"))
    }

    /// What a node answers that has not been prepared.
    pub fn unprepared() -> Self {
        Self::WrongState("the node is not prepared yet".to_owned())
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(error) => error.into(),
            Failure::Late { given, highest } => refuse_generation(given, highest),
            Failure::WrongState(message) => Self::failed_precondition(message),
            Failure::Unavailable(message) => Self::unavailable(message),
            Failure::Stopping => Self::aborted(failure.to_string()),
            Failure::Internal(message) => Self::internal(message),
        }
    }
}
