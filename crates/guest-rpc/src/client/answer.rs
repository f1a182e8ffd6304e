//! What came back: the guest's own answer, or trouble on the way.

use std::error::Error;

use redtrove_engine::ports::{GuestError, GuestStatus};
use tonic::{Code, Status};

use crate::metadata::refused_generation;
use crate::{InvalidField, convert, v1};

/// Who says that the call failed.
#[derive(Debug)]
pub(super) enum Cause {
    /// The guest did not answer, or not in time; why, as far as it is known.
    Transport(String),
    /// The guest's answer.
    Guest(GuestError),
}

/// Reads a status. One that was sent by the guest has no source; one that was made here has the error of the
/// connection behind it, whatever its code: a refused connection is UNAVAILABLE, a refused client certificate
/// UNKNOWN, a connection that breaks during a call INTERNAL, CANCELLED or UNAVAILABLE.
pub(super) fn cause(status: &Status) -> Cause {
    if let Some(source) = status.source() {
        return Cause::Transport(with_sources(status.message(), source));
    }
    let message = status.message().to_owned();
    match status.code() {
        Code::FailedPrecondition => match refused_generation(status) {
            Some(seen) => {
                Cause::Guest(GuestError::OldGeneration { seen: u64::try_from(seen.number()).unwrap_or_default() })
            }
            None => Cause::Guest(GuestError::Refused(message)),
        },
        // The contract keeps this code for a redis-server that does not answer.
        Code::Unavailable => Cause::Guest(GuestError::RedisDown(message)),
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted => Cause::Guest(GuestError::Refused(message)),
        // Its time ran out over there before it did here (DEADLINE_EXCEEDED, CANCELLED), or the agent has trouble
        // of its own such as a full disk (INTERNAL): it may work later, and over this very connection.
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => Cause::Guest(GuestError::Silent(format!("{}: {message}", status.code().description()))),
    }
}

/// The message and all that led to it, each said once.
fn with_sources(message: &str, source: &dyn Error) -> String {
    let mut text = message.to_owned();
    let mut next = Some(source);
    while let Some(error) = next {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = error.source();
    }
    text
}

/// An answer that breaks the contract; the next one would do so, too.
pub(super) fn invalid_answer(error: InvalidField) -> GuestError {
    GuestError::Refused(format!("its answer is not valid: {error}"))
}

/// Reads the answer to GetStatus.
pub(super) fn status(answer: v1::GetStatusResponse) -> Result<GuestStatus, InvalidField> {
    let redis = answer.state().into();
    let failed = answer.failed_node_ids.iter().enumerate();
    Ok(GuestStatus {
        redis,
        volume_used_bytes: answer.volume_used_bytes,
        slots: convert::slot_set("slots", answer.slots)?,
        state_ok: answer.cluster_state_ok.unwrap_or(true),
        node: answer.node_id.map(|id| convert::node_id("node_id", &id)).transpose()?,
        failed: failed
            .map(|(at, id)| convert::node_id(&format!("failed_node_ids[{at}]"), id))
            .collect::<Result<_, _>>()?,
    })
}
