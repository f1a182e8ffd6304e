//! What an engine counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ports::Outcome;

/// How tasks ended on this engine, since it started.
#[derive(Debug, Default)]
pub struct Counts {
    claimed: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

/// What an engine saw at its last looks at things.
#[derive(Debug, Default)]
pub struct Seen {
    orphans: AtomicU64,
    unserved: AtomicU64,
}

impl Seen {
    pub(crate) fn put_orphans(&self, count: usize) {
        self.orphans.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn put_unserved(&self, count: usize) {
        self.unserved.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Things that the provider holds and no row wants.
    pub fn orphans(&self) -> u64 {
        self.orphans.load(Ordering::Relaxed)
    }

    /// Clusters whose slots are not all served, if the monitor is here, else 0.
    pub fn unserved(&self) -> u64 {
        self.unserved.load(Ordering::Relaxed)
    }
}

impl Counts {
    pub(crate) fn claim(&self) {
        self.claimed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Succeeded => &self.succeeded,
            Outcome::Failed(_) => &self.failed,
            // An answer to whoever asked, not a failure of ours.
            Outcome::Refused(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give_up(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Each counter with its metric's name, without the registry's prefix `redtrove_` and the suffix `_total`, and its
    /// meaning.
    pub fn list(&self) -> [(&'static str, &'static str, u64); 5] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("tasks_claimed", "Tasks that were claimed here", read(&self.claimed)),
            ("tasks_succeeded", "Tasks that succeeded here", read(&self.succeeded)),
            ("tasks_failed", "Tasks that failed here", read(&self.failed)),
            ("tasks_lost", "Tasks that somebody else took over from here", read(&self.lost)),
            ("tasks_refused", "Tasks that were refused here, as nodes have slots", read(&self.refused)),
        ]
    }
}
