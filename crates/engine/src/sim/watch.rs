//! What must be true at every step, whatever goes wrong.
//!
//! After every effect on the world, whoever caused it, the rows and the nodes are held against what they were before
//! and against each other. The first thing that is not as it must be is kept; nothing after it is looked at.

mod rows;
mod servers;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use redtrove_core::{ClusterId, InstanceId, NodeId, TaskId};

use super::{Call, Port, State};
use redtrove_core::instance::Lifecycle;
use rows::{ClusterBefore, TaskBefore};

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What must be, in one sentence.
    pub must_be: &'static str,
    /// What is.
    pub found: String,
    /// When it was noticed, since the world began.
    pub at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (after {:.3} s: {})", self.must_be, self.at.as_secs_f64(), self.found)
    }
}

/// How often things happened: what a search has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls that took effect.
    pub effects: u64,
    /// Tasks that succeeded: creates, deletes, grows, shrinks.
    pub succeeded: [u64; 4],
    /// Tasks that failed, in the same order.
    pub failed: [u64; 4],
    /// Shrinks that were refused.
    pub refused: u64,
    /// Tasks that somebody took over from a dead or late one.
    pub taken_over: u64,
    /// Writes that came too late, and were not taken.
    pub fenced_by_database: u64,
    /// Orders that came too late, and were not carried out.
    pub fenced_by_guests: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.effects += other.effects;
        for (mine, theirs) in self.succeeded.iter_mut().zip(other.succeeded) {
            *mine += theirs;
        }
        for (mine, theirs) in self.failed.iter_mut().zip(other.failed) {
            *mine += theirs;
        }
        self.refused += other.refused;
        self.taken_over += other.taken_over;
        self.fenced_by_database += other.fenced_by_database;
        self.fenced_by_guests += other.fenced_by_guests;
    }
}

/// Looks at a world, and remembers of it what must not change.
#[derive(Debug, Default)]
pub(super) struct Watch {
    clusters: BTreeMap<ClusterId, ClusterBefore>,
    tasks: BTreeMap<TaskId, TaskBefore>,
    lives: BTreeMap<InstanceId, Lifecycle>,
    /// Of which cluster a node is, for every node that ever was.
    homes: BTreeMap<NodeId, ClusterId>,
    /// In whose name a guest was last changed: the generation, and the daemon.
    obeyed: BTreeMap<InstanceId, (u64, u32)>,
    /// The keys that tenants were told of, by slot.
    acknowledged: BTreeMap<ClusterId, BTreeMap<u16, u64>>,
    nodes_seen: u64,
    pub(super) tally: Tally,
    pub(super) violation: Option<Violation>,
    /// What happened, line by line, if anybody wants to read it.
    pub(super) story: Option<Vec<String>>,
    /// A number that follows from all that happened.
    pub(super) print: u64,
    now: Duration,
}

impl Watch {
    pub(super) fn new(with_story: bool) -> Self {
        Self { story: with_story.then(Vec::new), ..Self::default() }
    }

    /// Somebody's call was carried out; `done` says whether it did what it says.
    pub(super) fn after(&mut self, state: &State, who: u32, call: &Call, done: bool, now: Duration) {
        if call.changes {
            let subject = || match (call.instance, call.cluster) {
                (Some(instance), _) => format!(" of {instance}"),
                (None, Some(cluster)) => format!(" on {cluster}"),
                (None, None) => String::new(),
            };
            let token = || call.token.map(|token| format!(" as {token}")).unwrap_or_default();
            self.happened(now, u64::from(who) << 1 | u64::from(done), call.name, || {
                format!("#{who} {}{}{}{}", call.name, subject(), token(), if done { "" } else { ": not done" })
            });
        }
        self.tally.effects += 1;
        match call.port {
            Port::Store if call.changes => {
                self.tally.fenced_by_database += u64::from(call.token.is_some() && !done);
                self.look_at_rows(state, who, call, done);
            }
            Port::Guests if call.changes => self.look_at_order(state, who, call, done),
            // Another machine of the same instance has heard nothing yet.
            Port::Compute if call.name == "destroy" => self.obeyed.retain(|id, _| Some(*id) != call.instance),
            Port::Compute if call.changes => self.look_at_addresses(state),
            _ => {}
        }
        self.look_at_nodes(state);
    }

    /// Something happened that is no call.
    pub(super) fn happened(&mut self, now: Duration, number: u64, name: &str, line: impl FnOnce() -> String) {
        self.now = now;
        // FNV-1a.
        let number = number ^ u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        for byte in number.to_le_bytes().into_iter().chain(name.bytes()) {
            self.print = (self.print ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        if let Some(story) = &mut self.story {
            story.push(format!("{:>10.4} {}", now.as_secs_f64(), line()));
        }
    }

    /// Keeps the first thing that is wrong.
    pub(super) fn wrong(&mut self, must_be: &'static str, found: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { must_be, found, at: self.now });
        }
    }

    fn check(&mut self, holds: bool, must_be: &'static str, found: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.wrong(must_be, found());
        }
    }
}
