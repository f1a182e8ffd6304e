//! Time that jumps, and chance that follows from a seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redtrove_core::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Clock;

/// The clock of a simulated world: tokio's, which a test may pause, counted from a fixed date.
#[derive(Debug)]
pub struct SimClock {
    born: Instant,
    chance: AtomicU64,
}

/// 2026-01-01T00:00:00 UTC.
const BIRTH: i64 = 1_767_225_600_000;

/// One round of splitmix64: a well mixed number from any other.
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl SimClock {
    pub(super) fn new(seed: u64) -> Self {
        Self { born: Instant::now(), chance: AtomicU64::new(mix(seed)) }
    }

    fn roll(&self) -> u64 {
        mix(self.chance.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed))
    }

    fn roll_wide(&self) -> u128 {
        (u128::from(self.roll()) << 64) | u128::from(self.roll())
    }
}

/// The simulated date after `elapsed`.
pub(super) fn date(elapsed: Duration) -> Timestamp {
    Timestamp(BIRTH).after(elapsed)
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        date(self.born.elapsed())
    }

    fn random_id(&self) -> Uuid {
        uuid::Builder::from_u128(self.roll_wide()).with_version(uuid::Version::Random).into_uuid()
    }

    fn ordered_id(&self) -> Uuid {
        let millis = u64::try_from(self.now().0).unwrap_or(0);
        let [chance @ .., _, _, _, _, _, _] = self.roll_wide().to_be_bytes();
        uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid()
    }

    fn jitter(&self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 { Duration::ZERO } else { Duration::from_nanos(self.roll() % nanos) }
    }
}
