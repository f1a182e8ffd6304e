//! What goes wrong in the simulated world, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::TaskId;
use tokio::sync::Notify;

use super::weather::Weather;
use super::{Call, Port};

/// What is to go wrong. Calls are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chaos {
    /// Nothing.
    #[default]
    Calm,
    /// The daemon dies just before the call with this number takes effect.
    DieBefore(u64),
    /// The daemon dies just after the call with this number has taken effect, before it hears of it.
    DieAfter(u64),
    /// The call with this number fails and has no effect.
    FailBefore(u64),
    /// The call with this number takes effect, and its answer is lost.
    FailAfter(u64),
    /// Every change of a guest or a machine is carried out twice.
    Repeat,
    /// Every call of this method fails from now on.
    FailForGood(&'static str, Trouble),
    /// The daemon stops for this long at the call with this number, as SIGSTOP does, and then goes on as if nothing
    /// had happened. Daemons that start later are not touched.
    Freeze(u64, Duration),
    /// Each call has this chance, in percent, of failing before or after its effect; the number is a seed.
    Noise(u8, u64),
    /// Every call of this method takes effect at once, and its answer comes this much later.
    Late(&'static str, Duration),
    /// Every call of this method meets a mistake of ours.
    Panic(&'static str),
    /// The row of this task cannot be read: claiming it fails for good.
    Unreadable(TaskId),
}

/// What a failing call looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It may work later.
    Transient,
    /// It will never work.
    Permanent,
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// How often it takes effect.
    pub(super) times: u8,
    /// The daemon is dead: the call never returns.
    pub(super) dies: bool,
    /// It returns, but with an error.
    pub(super) trouble: Option<Trouble>,
    /// How long it is on its way; it arrives even if the caller is gone by then.
    pub(super) delayed: Duration,
    /// It takes effect once more, so much later.
    pub(super) again: Option<Duration>,
    /// How long its answer is held up.
    pub(super) late: Duration,
    /// It panics.
    pub(super) panics: bool,
}

impl Fate {
    pub(super) const WELL: Self = Self {
        times: 1,
        dies: false,
        trouble: None,
        delayed: Duration::ZERO,
        again: None,
        late: Duration::ZERO,
        panics: false,
    };
}

/// The number of one who only looks.
pub(super) const OBSERVER: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Plan {
    chaos: Chaos,
    calls: u64,
    incarnations: u32,
    dead: BTreeSet<u32>,
    died: Arc<Notify>,
    /// Incarnations that are stopped, and until when.
    stopped: BTreeMap<u32, Duration>,
    /// All kinds of trouble, mixed; nothing of [`Chaos`] happens then.
    pub(super) weather: Option<Weather>,
}

impl Plan {
    pub(super) fn new_incarnation(&mut self) -> u32 {
        self.incarnations += 1;
        self.incarnations
    }

    pub(super) fn set(&mut self, chaos: Chaos) {
        self.chaos = chaos;
        self.calls = 0;
        self.stopped.clear();
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn died(&self) -> Arc<Notify> {
        Arc::clone(&self.died)
    }

    /// From now on no call of that incarnation is made, and none returns.
    pub(super) fn kill(&mut self, incarnation: u32) {
        self.dead.insert(incarnation);
        self.died.notify_one();
    }

    /// Stops an incarnation as SIGSTOP does, until then.
    pub(super) fn stop(&mut self, incarnation: u32, until: Duration) {
        self.stopped.insert(incarnation, until);
        self.died.notify_one();
    }

    pub(super) fn is_readable(&self, task: TaskId) -> bool {
        self.chaos != Chaos::Unreadable(task)
    }

    /// For how long the incarnation hears of nothing; nothing if that is for ever.
    pub(super) fn stopped_for(&self, incarnation: u32, now: Duration) -> Option<Duration> {
        if self.dead.contains(&incarnation) {
            return None;
        }
        Some(self.stopped.get(&incarnation).map_or(Duration::ZERO, |until| until.saturating_sub(now)))
    }

    pub(super) fn fate(&mut self, incarnation: u32, call: &Call, now: Duration, cut_off: bool) -> Fate {
        if incarnation == OBSERVER {
            return Fate::WELL;
        }
        let Some(stopped) = self.stopped_for(incarnation, now) else {
            return Fate { times: 0, dies: true, ..Fate::WELL };
        };
        if !stopped.is_zero() {
            return Fate { delayed: stopped, ..Fate::WELL };
        }
        self.calls += 1;
        match &mut self.weather {
            Some(weather) => weather.fate(call, now, cut_off),
            None => self.accident(incarnation, call, now),
        }
    }

    fn accident(&mut self, incarnation: u32, call: &Call, now: Duration) -> Fate {
        let (well, trouble) = (Fate::WELL, Some(Trouble::Transient));
        let changes_nodes = call.changes && call.port != Port::Store;
        match self.chaos {
            Chaos::DieBefore(n) if n == self.calls => {
                self.kill_all();
                Fate { times: 0, dies: true, ..well }
            }
            Chaos::DieAfter(n) if n == self.calls => {
                self.kill_all();
                Fate { dies: true, ..well }
            }
            Chaos::FailBefore(n) if n == self.calls => Fate { times: 0, trouble, ..well },
            Chaos::FailAfter(n) if n == self.calls => Fate { trouble, ..well },
            Chaos::Repeat if changes_nodes => Fate { times: 2, ..well },
            Chaos::FailForGood(method, trouble) if method == call.name => {
                Fate { times: 0, trouble: Some(trouble), ..well }
            }
            Chaos::Late(method, late) if method == call.name => Fate { late, ..well },
            Chaos::Panic(method) if method == call.name => Fate { panics: true, ..well },
            Chaos::Freeze(n, length) if n == self.calls => {
                self.stop(incarnation, now + length);
                Fate { delayed: length, ..well }
            }
            Chaos::Noise(percent, seed) => {
                let roll = super::clock::mix(seed ^ self.calls.wrapping_mul(0x9E37_79B9));
                match roll % 200 {
                    roll if roll < u64::from(percent) => Fate { times: 0, trouble, ..well },
                    roll if roll < 2 * u64::from(percent) => Fate { trouble, ..well },
                    _ => well,
                }
            }
            _ => well,
        }
    }

    fn kill_all(&mut self) {
        self.dead.extend(1..=self.incarnations);
        self.died.notify_one();
    }
}
