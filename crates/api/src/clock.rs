//! The system's clock as the engine knows one.

use std::time::Duration;

use redtrove_core::Timestamp;
use redtrove_engine::ports::Clock;
use redtrove_service::SystemClock;
use uuid::Uuid;

/// The machine's clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApiClock(pub SystemClock);

impl Clock for ApiClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn random_id(&self) -> Uuid {
        self.0.random_id()
    }

    fn ordered_id(&self) -> Uuid {
        self.0.ordered_id()
    }

    fn jitter(&self, most: Duration) -> Duration {
        self.0.jitter(most)
    }
}
