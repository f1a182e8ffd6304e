//! The system's time and randomness: the only place of the product that asks for either.

use std::time::Duration;

use redtrove_core::{Clock, Timestamp};
use uuid::Uuid;

/// The machine's clock and its random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// To the millisecond.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are told to ask")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the source of ids that the others are told to ask")]
    fn random_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// Sorts after those made before it by this process.
    #[expect(clippy::disallowed_methods, reason = "this is the source of ids that the others are told to ask")]
    fn ordered_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn jitter(&self, most: Duration) -> Duration {
        // The lower 62 bits of a version 4 uuid are all random; the two above them are its variant.
        let random = u128::from(self.random_id().as_u64_pair().1 & (u64::MAX >> 2));
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let part = (u128::from(most) * random) >> 62;
        Duration::from_nanos(u64::try_from(part).unwrap_or(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_their_version_and_ordered_ones_sort() {
        let clock = SystemClock;
        assert_eq!(clock.random_id().get_version_num(), 4);
        let ids: Vec<Uuid> = (0..1000).map(|_| clock.ordered_id()).collect();
        assert_eq!(ids[0].get_version_num(), 7);
        assert!(ids.is_sorted(), "ordered ids sort in the order they were made");
    }

    #[test]
    fn jitter_stays_in_its_range_and_uses_all_of_it() {
        let clock = SystemClock;
        let most = Duration::from_millis(1000);
        let drawn: Vec<Duration> = (0..1000).map(|_| clock.jitter(most)).collect();
        assert!(drawn.iter().all(|d| *d <= most));
        assert!(drawn.iter().any(|d| *d < most / 4), "none of 1000 in the lowest quarter");
        assert!(drawn.iter().any(|d| *d > most * 3 / 4), "none of 1000 in the highest quarter");
        assert_eq!(clock.jitter(Duration::ZERO), Duration::ZERO);
        // Longer than 64 bits of nanoseconds: counts as 584 years, and does not overflow.
        assert!(clock.jitter(Duration::MAX) <= Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn time_is_after_this_test_was_written() {
        assert!(SystemClock.now() > Timestamp(1_763_000_000_000));
    }
}
