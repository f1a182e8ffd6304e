//! Whether the loops that a daemon lives by still turn: what systemd's watchdog is told depends on it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The loops of one daemon. Clones are the same loops.
#[derive(Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Pulse>>>);

struct Pulse {
    name: &'static str,
    limit: Duration,
    turns: Box<dyn Fn() -> u64 + Send>,
    seen: u64,
    since: Instant,
}

/// A loop that has not turned for longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// The loop.
    pub name: &'static str,
    /// For how long it has not turned.
    pub silent: Duration,
}

impl Pulses {
    /// From now on the number that `turns` gives has to change within `limit`, again and again: the longest that one
    /// turn of a sound loop may take, its waits for others included, as those have to be bounded anyway.
    pub fn watch(&self, name: &'static str, limit: Duration, turns: impl Fn() -> u64 + Send + 'static) {
        let (seen, since) = (turns(), Instant::now());
        self.lock().push(Pulse { name, limit, turns: Box::new(turns), seen, since });
    }

    /// As [`watch`](Self::watch), for a loop that counts its turns itself.
    pub fn count(&self, name: &'static str, limit: Duration) -> Turns {
        let turns = Turns::default();
        let counted = turns.clone();
        self.watch(name, limit, move || counted.0.load(Ordering::Relaxed));
        turns
    }

    /// The first loop that hangs.
    pub fn stuck(&self) -> Option<Stuck> {
        self.stuck_at(Instant::now())
    }

    fn stuck_at(&self, now: Instant) -> Option<Stuck> {
        let mut found = None;
        for pulse in self.lock().iter_mut() {
            let turns = (pulse.turns)();
            if turns != pulse.seen {
                (pulse.seen, pulse.since) = (turns, now);
            }
            let silent = now.saturating_duration_since(pulse.since);
            if silent > pulse.limit {
                found = found.or(Some(Stuck { name: pulse.name, silent }));
            }
        }
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Pulse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pulses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|pulse| pulse.name)).finish()
    }
}

/// Counts the turns of a loop.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<AtomicU64>);

impl Turns {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_when_it_has_not_turned_for_longer_than_it_may() {
        let pulses = Pulses::default();
        let began = Instant::now();
        let turns = pulses.count("sweeper", Duration::from_secs(10));
        let at = |seconds| pulses.stuck_at(began + Duration::from_secs(seconds)).map(|stuck| stuck.name);
        assert_eq!(at(9), None);
        assert_eq!(at(12), Some("sweeper"));
        turns.add();
        assert_eq!(at(13), None, "it turned after all");
        assert_eq!(at(22), None, "ten seconds from when that was seen");
        assert_eq!(at(24), Some("sweeper"));
    }

    #[test]
    fn one_loop_that_turns_does_not_hide_another_that_hangs() {
        let pulses = Pulses::default();
        let began = Instant::now();
        let busy = pulses.count("busy", Duration::from_secs(10));
        pulses.watch("hangs", Duration::from_secs(10), || 7);
        busy.add();
        let stuck = pulses.stuck_at(began + Duration::from_secs(15)).unwrap();
        assert_eq!(stuck.name, "hangs");
        assert!(stuck.silent > Duration::from_secs(10));
    }
}
