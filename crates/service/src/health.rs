//! Whether a daemon can do its work, asked now and then in the background, so that /healthz answers at once.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::shutdown::Shutdown;

/// How often is asked, and how long an answer may take.
const EVERY: Duration = Duration::from_secs(5);

/// What was last found out.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    /// Calls `ask` every few seconds, for as long as the daemon runs. Its error is what /healthz says.
    pub fn watch<F, A>(shutdown: &Shutdown, ask: A) -> Self
    where
        F: Future<Output = Result<(), String>> + Send,
        A: Fn() -> F + Send + Sync + 'static,
    {
        let health = Self::default();
        let (found, stop) = (health.clone(), shutdown.token().clone());
        // Its turns are bounded whatever it asks: it stands for the threads that do the daemon's work.
        let turns = shutdown.pulses().count("look at what the daemon depends on", 6 * EVERY);
        shutdown.tasks().spawn(stop.run_until_cancelled_owned(async move {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                turns.add();
                let answer = tokio::time::timeout(EVERY, ask()).await;
                found
                    .put(answer.unwrap_or_else(|_| Err("what it depends on does not answer in time".to_owned())).err());
            }
        }));
        health
    }

    fn put(&self, problem: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// For /healthz.
    pub fn check(&self) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}
