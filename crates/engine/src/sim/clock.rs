//! Time that jumps, and chance that follows from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use redtrove_core::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Clock;

/// The clock of a daemon in a simulated world: tokio's, which a test may pause, counted from a fixed date. It may be
/// wrong by any amount; the database's never is.
#[derive(Debug, Clone)]
pub struct SimClock {
    born: Instant,
    chance: Arc<AtomicU64>,
    /// How far it is ahead. Milliseconds.
    wrong_by: Arc<AtomicI64>,
}

/// 2026-01-01T00:00:00 UTC.
const BIRTH: i64 = 1_767_225_600_000;

/// The step from one number of a sequence to the next.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// One round of splitmix64: a well mixed number from any other.
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A sequence of chances that follows from a seed.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A sequence of its own, for one purpose.
    pub(super) fn fork(&mut self) -> Self {
        Self::new(self.roll())
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// True in `per_mille` of a thousand cases.
    pub(super) fn happens(&mut self, per_mille: u32) -> bool {
        self.roll() % 1000 < u64::from(per_mille)
    }

    /// A length from `shortest` to `longest`; short ones come more often.
    pub(super) fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = u64::try_from(longest.saturating_sub(shortest).as_millis()).unwrap_or(u64::MAX).max(1);
        let (one, other) = (self.roll() % span, self.roll() % span);
        shortest + Duration::from_millis(one.min(other))
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }
}

impl SimClock {
    pub(super) fn new(seed: u64) -> Self {
        Self { born: Instant::now(), chance: Arc::new(AtomicU64::new(mix(seed))), wrong_by: Arc::default() }
    }

    /// The clock of another daemon; their chances are one sequence.
    pub(super) fn of_another(&self) -> Self {
        Self { wrong_by: Arc::default(), ..self.clone() }
    }

    /// Sets it so many milliseconds ahead of the database's, or behind it.
    pub(super) fn set_wrong_by(&self, milliseconds: i64) {
        self.wrong_by.store(milliseconds, Ordering::Relaxed);
    }

    fn roll(&self) -> u64 {
        mix(self.chance.fetch_add(STEP, Ordering::Relaxed))
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
        Timestamp(date(self.born.elapsed()).0.saturating_add(self.wrong_by.load(Ordering::Relaxed)))
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
