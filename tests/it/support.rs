//! What the stories share.

pub(crate) mod clusters;
pub(crate) mod database;
pub(crate) mod keys;
pub(crate) mod leftovers;
pub(crate) mod raw_http;
pub(crate) mod world;

use std::time::{Duration, Instant};

use redtrove_testkit::wait_for;

/// Longer than anything takes on a busy machine; who waits this long has found a fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
pub(crate) fn until(reason: &str, holds: impl FnMut() -> bool) {
    within(reason, PATIENCE, holds);
}

/// Waits until something holds, for so long.
pub(crate) fn within(reason: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(reason, patience, || Ok(holds().then_some(()))).unwrap();
}

/// Waits for a moment, for stories in which the moment itself is what varies.
pub(crate) fn at(moment: Instant) {
    within("a moment", PATIENCE, || Instant::now() >= moment);
}
