//! Pauses that grow.

use std::time::Duration;

use crate::ports::Clock;

/// A pause that doubles with every failure in a row, a random half of it taken off so that many who failed
/// together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The pause after one more failure.
    pub(crate) fn next(&mut self, clock: &dyn Clock) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(self.longest);
        pause.saturating_sub(clock.jitter(pause / 2))
    }

    /// Something went well.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}
