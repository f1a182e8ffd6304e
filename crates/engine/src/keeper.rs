//! Keeping a lease while its task runs.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::ports::{Lease, Store, StoreError};

/// The lease of a running task. Its token may be raised while it is kept.
#[derive(Debug)]
pub(crate) struct HeldLease(Mutex<Lease>);

impl HeldLease {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(Mutex::new(lease))
    }

    /// The lease as it is now.
    pub(crate) fn get(&self) -> Lease {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The lease with a raised token.
    pub(crate) fn replace(&self, lease: Lease) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = lease;
    }
}

/// Renews the lease at a third of its `length`, and returns when it is lost: when the database says so, or when the
/// database has not answered for so long that somebody else may have claimed the task.
pub(crate) async fn keep(store: &dyn Store, lease: &HeldLease, length: Duration) {
    let mut renewed = Instant::now();
    let mut pause = length / 3;
    loop {
        sleep(pause).await;
        let held = lease.get();
        let asked = Instant::now();
        match store.renew(&held, length).await {
            Ok(()) => {
                renewed = asked;
                pause = length / 3;
            }
            Err(StoreError::LeaseLost) if lease.get().token != held.token => pause = Duration::ZERO,
            Err(StoreError::LeaseLost) => {
                info!(task.id = %held.task, "task {} is somebody else's by now", held.task);
                return;
            }
            Err(error) if renewed.elapsed() >= length => {
                warn!(task.id = %held.task, error = %Chain(&error), "stopping task {}: its lease ran out", held.task);
                return;
            }
            Err(_) => pause = length / 30,
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
