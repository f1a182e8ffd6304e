//! Trouble that passes, and what is run again because of it.
//!
//! A transaction that another one was in the way of was rolled back, and is run again as a whole. So is one whose
//! connection was lost: where that happened before COMMIT was sent, nothing was written; after it, nobody knows. So
//! **every transaction may come twice**: it changes nothing the second time, or finds out that it has been there
//! ([`Retries::lost`]) by an id or a token that nobody else has. A database that says nothing at all is not asked again
//! here, nor is one that has waited for a lock for seconds: whoever waits has waited for long enough.

use std::time::Duration;

use redtrove_engine::ports::{StoreError, SubmitError};
use tokio::time::sleep;

/// The source of [`StoreError::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Passing {
    /// Another transaction was in the way.
    #[error("another transaction was in the way")]
    Clash(#[source] sqlx::Error),
    /// Another transaction was in the way for too long.
    #[error("another transaction did not end in time")]
    Blocked(#[source] sqlx::Error),
    /// The connection was lost, or the server is about to end it.
    #[error("the connection was lost")]
    Lost(#[source] sqlx::Error),
    /// There was no answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// Anything else: no connection to be had, no room on the disk.
    #[error(transparent)]
    Other(sqlx::Error),
}

impl From<Passing> for StoreError {
    fn from(passing: Passing) -> Self {
        Self::Unavailable(passing.into())
    }
}

impl Passing {
    fn of(error: &StoreError) -> Option<&Self> {
        match error {
            StoreError::Unavailable(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether it is another transaction's doing, and not the connection's.
    pub(crate) fn is_anothers(error: &StoreError) -> bool {
        matches!(Self::of(error), Some(Self::Clash(_) | Self::Blocked(_)))
    }
}

/// An error that may come from the database.
pub(crate) trait OfStore {
    /// The database's, if it is.
    fn of_store(&self) -> Option<&StoreError>;
}

impl OfStore for StoreError {
    fn of_store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl OfStore for SubmitError {
    fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// How often a transaction is run again after a clash, and after a lost connection.
const MOST_CLASHES: u32 = 6;
const MOST_LOSSES: u32 = 2;
/// The pause after a lost connection: a server that restarts is not waited for.
const AFTER_LOSS: Duration = Duration::from_millis(50);

/// How often something was run again, and why.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    clashes: u32,
    losses: u32,
}

impl Retries {
    /// Whether an earlier run was cut off, so that it may have been committed all the same.
    pub(crate) fn lost(&self) -> bool {
        self.losses > 0
    }

    /// Waits before it is run again; false if that is of no use or it was run often enough.
    pub(crate) async fn again(&mut self, error: &impl OfStore) -> bool {
        match error.of_store().and_then(Passing::of) {
            Some(Passing::Clash(_)) if self.clashes < MOST_CLASHES => {
                // The winner needs a moment; each loser waits longer than the time before, so that they fall apart.
                sleep(Duration::from_millis(5 << self.clashes)).await;
                self.clashes += 1;
                true
            }
            Some(Passing::Lost(_)) if self.losses < MOST_LOSSES => {
                sleep(AFTER_LOSS).await;
                self.losses += 1;
                true
            }
            _ => false,
        }
    }
}

/// Runs a transaction or a query, and again where that may help. With `or`, an error that is left after a connection was
/// lost counts only if what follows finds nothing: the transaction may have been there before. With `lost`, so does a
/// result that says that there was nothing to do.
macro_rules! retried {
    ($transaction:expr) => {{
        let mut retries = $crate::passing::Retries::default();
        loop {
            match $transaction.await {
                Err(error) if retries.again(&error).await => {}
                result => break result,
            }
        }
    }};
    ($transaction:expr, lost $nothing:literal => $found:expr) => {{
        let mut retries = $crate::passing::Retries::default();
        loop {
            match $transaction.await {
                Err(error) if retries.again(&error).await => {}
                Ok($nothing) if retries.lost() => break $found,
                result => break result,
            }
        }
    }};
    ($transaction:expr, or $found:expr) => {{
        let mut retries = $crate::passing::Retries::default();
        loop {
            match $transaction.await {
                Err(error) if retries.again(&error).await => {}
                Err(error) if retries.lost() => match $found.await {
                    Ok(Some(found)) => break Ok(found),
                    Ok(None) => break Err(error),
                    Err(error) => break Err(error.into()),
                },
                result => break result,
            }
        }
    }};
}
pub(crate) use retried;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn lost() -> StoreError {
        Passing::Lost(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into())).into()
    }

    #[tokio::test]
    async fn a_lost_connection_is_tried_again_twice_and_silence_never() {
        let mut retries = Retries::default();
        assert!(!retries.again(&StoreError::from(Passing::Silent(Duration::from_secs(9)))).await);
        assert!(!retries.again(&StoreError::LeaseLost).await && !retries.lost());
        assert!(retries.again(&SubmitError::Store(lost())).await && retries.lost());
        assert!(retries.again(&lost()).await);
        assert!(!retries.again(&lost()).await);
        assert!(!retries.again(&SubmitError::NotFound).await);
    }

    #[tokio::test]
    async fn what_was_found_is_the_outcome_only_after_a_loss() {
        let found = async || Ok::<_, StoreError>(Some("found"));
        let mut outcomes = vec![Err(StoreError::LeaseLost), Err(lost())];
        let result = retried!(async { outcomes.pop().unwrap() }, or found());
        assert_eq!(result.unwrap(), "found");
        let result: Result<&str, StoreError> = retried!(async { Err(StoreError::LeaseLost) }, or found());
        assert!(matches!(result, Err(StoreError::LeaseLost)));
    }
}
