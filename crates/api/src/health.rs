//! Whether this daemon can do its work: only the database counts, a broker that is away costs nothing but time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redtrove_engine::Store;
use redtrove_service::Shutdown;

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(5);

/// What was last found out.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    /// Asks `store` every few seconds, for as long as the daemon runs.
    pub fn watch(store: Arc<dyn Store>, shutdown: &Shutdown) -> Self {
        let health = Self::default();
        let (found, stop) = (health.clone(), shutdown.token().clone());
        shutdown.tasks().spawn(stop.run_until_cancelled_owned(async move {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let answer = tokio::time::timeout(EVERY, store.now()).await;
                found.put(match answer {
                    Ok(Ok(_)) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("the database does not answer in time".to_owned()),
                });
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
