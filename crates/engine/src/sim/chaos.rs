//! What goes wrong in the simulated world, and when.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::TaskId;
use tokio::sync::Notify;

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
#[derive(Debug)]
pub(super) struct Fate {
    /// How often it takes effect.
    pub(super) times: u8,
    /// The daemon is dead: the call never returns.
    pub(super) dies: bool,
    /// It returns, but with an error.
    pub(super) trouble: Option<Trouble>,
    /// How long it is held up before it takes effect.
    pub(super) frozen: Duration,
    /// How long its answer is held up after that.
    pub(super) late: Duration,
    /// It panics.
    pub(super) panics: bool,
}

/// The number of one who only looks.
pub(super) const OBSERVER: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Plan {
    chaos: Chaos,
    calls: u64,
    incarnations: u32,
    /// Incarnations up to this one are dead.
    dead: u32,
    died: Arc<Notify>,
    /// The incarnation that is frozen, and until when.
    frozen: Option<(u32, tokio::time::Instant)>,
}

/// Methods that change a guest or a machine.
const CHANGES: [&str; 10] =
    ["ensure", "destroy", "prepare", "add_slots", "meet", "complete", "close", "reopen", "leave", "remove_nodes"];

impl Plan {
    pub(super) fn new_incarnation(&mut self) -> u32 {
        self.incarnations += 1;
        self.incarnations
    }

    pub(super) fn set(&mut self, chaos: Chaos) {
        self.chaos = chaos;
        self.calls = 0;
        self.frozen = None;
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn died(&self) -> Arc<Notify> {
        Arc::clone(&self.died)
    }

    fn kill(&mut self) {
        self.dead = self.incarnations;
        self.died.notify_one();
    }

    pub(super) fn is_readable(&self, task: TaskId) -> bool {
        self.chaos != Chaos::Unreadable(task)
    }

    pub(super) fn is_dead(&self, incarnation: u32) -> bool {
        incarnation != OBSERVER && incarnation <= self.dead
    }

    pub(super) fn fate(&mut self, incarnation: u32, name: &'static str) -> Fate {
        let (frozen, late) = (Duration::ZERO, Duration::ZERO);
        let well = Fate { times: 1, dies: false, trouble: None, frozen, late, panics: false };
        if incarnation == OBSERVER {
            return well;
        }
        if self.is_dead(incarnation) {
            return Fate { times: 0, dies: true, ..well };
        }
        if let Some((_, until)) = self.frozen.filter(|(frozen, _)| *frozen == incarnation) {
            return Fate { frozen: until.saturating_duration_since(tokio::time::Instant::now()), ..well };
        }
        self.calls += 1;
        let trouble = Some(Trouble::Transient);
        match self.chaos {
            Chaos::DieBefore(n) if n == self.calls => {
                self.kill();
                Fate { times: 0, dies: true, ..well }
            }
            Chaos::DieAfter(n) if n == self.calls => {
                self.kill();
                Fate { dies: true, ..well }
            }
            Chaos::FailBefore(n) if n == self.calls => Fate { times: 0, trouble, ..well },
            Chaos::FailAfter(n) if n == self.calls => Fate { trouble, ..well },
            Chaos::Repeat if CHANGES.contains(&name) => Fate { times: 2, ..well },
            Chaos::FailForGood(method, trouble) if method == name => Fate { times: 0, trouble: Some(trouble), ..well },
            Chaos::Late(method, late) if method == name => Fate { late, ..well },
            Chaos::Panic(method) if method == name => Fate { panics: true, ..well },
            Chaos::Freeze(n, length) if n == self.calls => {
                self.frozen = Some((incarnation, tokio::time::Instant::now() + length));
                self.died.notify_one();
                Fate { frozen: length, ..well }
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
}
