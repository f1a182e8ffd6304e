//! What every request can reach: the database, the bus and the rules. Never a guest.

use std::sync::{Arc, Mutex, PoisonError};

use redtrove_core::Timestamp;
use redtrove_engine::ports::{Bus, Clock, Limits, Store, WakeUp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::metrics::ApiMetrics;
use crate::policy::Policy;

/// The parts that an [`App`] is made of.
pub struct Parts {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Who is woken up.
    pub bus: Arc<dyn Bus>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Who knows tokens.
    pub authenticator: Arc<dyn Authenticator>,
    /// The settings.
    pub config: Config,
    /// What is counted.
    pub metrics: ApiMetrics,
    /// Where work behind an answer is spawned.
    pub tasks: TaskTracker,
    /// Cancelled when the daemon is to stop: what waits answers at once.
    pub stop: CancellationToken,
    /// Since when nobody watches members.
    pub unwatched: Unwatched,
}

/// Since when no monitor has looked at members, where that is too long ago. Learnt in the background, so that no request
/// asks for it; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Unwatched(Arc<Mutex<Option<Timestamp>>>);

impl Unwatched {
    /// What is known.
    pub fn since(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was learnt.
    pub fn put(&self, since: Option<Timestamp>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Shared by all requests; clones are cheap.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    policy: Arc<Policy>,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let policy = Arc::new(Policy::new(parts.config.policy.clone()));
        Self(Arc::new(Inner { parts, policy }))
    }

    /// The database.
    pub fn store(&self) -> &dyn Store {
        &*self.0.parts.store
    }

    /// Time and ids.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.parts.clock
    }

    /// Who knows tokens.
    pub fn authenticator(&self) -> &dyn Authenticator {
        &*self.0.parts.authenticator
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.0.parts.config
    }

    /// Who may do what.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.0.policy
    }

    /// Since when nobody watches members.
    pub fn unwatched(&self) -> &Unwatched {
        &self.0.parts.unwatched
    }

    /// Cancelled when the daemon is to stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.parts.stop
    }

    /// What is counted.
    pub fn metrics(&self) -> &ApiMetrics {
        &self.0.parts.metrics
    }

    /// What a project may have.
    pub fn limits(&self) -> Limits {
        let quota = &self.config().quota;
        Limits { instances: quota.max_instances_per_tenant, volumes_gb: quota.max_volumes_per_tenant }
    }

    /// Publishes `wake` behind the answer. The task is in the database by now: if nobody hears of it, a sweeper
    /// finds it, so that a failure is only counted.
    pub fn announce(&self, wake: WakeUp) {
        let app = self.clone();
        let publish = async move {
            if let Err(error) = app.0.parts.bus.publish(&wake).await {
                app.metrics().publish_failures.inc();
                tracing::info!(
                    task.id = %wake.task,
                    cluster.id = %wake.cluster,
                    "task {} waits for a sweeper, its wake-up was not published: {error}",
                    wake.task
                );
            }
        };
        self.0.parts.tasks.spawn(publish.in_current_span());
    }
}
