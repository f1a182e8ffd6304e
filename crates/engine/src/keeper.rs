//! Keeping a lease while its task runs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::ports::{Lease, Store, StoreError};

/// The lease of a running task. Its token may be raised while it is kept.
#[derive(Debug)]
pub(crate) struct HeldLease {
    lease: Mutex<Lease>,
    /// Held while the database works on the lease: a renewal with a token that is being raised would find it lost.
    turn: tokio::sync::Mutex<()>,
}

impl HeldLease {
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lease: Mutex::new(lease), turn: tokio::sync::Mutex::default() }
    }

    /// The lease as it is now.
    pub(crate) fn get(&self) -> Lease {
        self.lock().clone()
    }

    /// Raises the token to more than `seen`.
    pub(crate) async fn raise(&self, store: &dyn Store, seen: u64) -> Result<Lease, StoreError> {
        let _turn = self.turn.lock().await;
        let raised = store.raise_token(&self.get(), seen).await?;
        self.lock().clone_from(&raised);
        Ok(raised)
    }

    async fn renew(&self, store: &dyn Store, length: Duration) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        store.renew(&self.get(), length).await
    }

    fn lock(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the lease, which was `asked` for then, at a third of its `length`. Returns when it is lost: when the
/// database says so, or has not answered for so long that somebody else may have claimed the task.
pub(crate) async fn keep(store: &dyn Store, lease: &HeldLease, length: Duration, asked: Instant) {
    let task = lease.get().task;
    let mut renewed = asked;
    let mut pause = length / 3;
    loop {
        sleep(pause).await;
        let asked = Instant::now();
        match timeout_at(renewed + length, lease.renew(store, length)).await {
            Ok(Ok(())) => {
                renewed = asked;
                pause = length / 3;
            }
            Ok(Err(StoreError::LeaseLost)) => {
                info!(task.id = %task, "task {task} is somebody else's by now");
                return;
            }
            Ok(Err(_)) if renewed.elapsed() < length => pause = length / 30,
            Ok(Err(error)) => {
                warn!(task.id = %task, error = %Chain(&error), "stopping task {task}: its lease ran out");
                return;
            }
            Err(_) => {
                warn!(task.id = %task, "stopping task {task}: its lease ran out before it was renewed");
                return;
            }
        }
    }
}

/// An error with everything that caused it, in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
