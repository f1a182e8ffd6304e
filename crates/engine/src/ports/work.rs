//! What a runner reads and writes of a task.

use std::collections::BTreeSet;
use std::time::Duration;

use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, Fault, InstanceId, NodeId, TaskId, Timestamp};

use crate::task::{StepOutcome, Task};

/// The right to work on a task, and the fence that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// A number that only grows for the cluster; also the generation that guests are sent.
    pub token: u64,
}

/// The highest token that a guest can have seen if it tells the truth. One that does not must not use up the numbers
/// of its cluster.
pub const HIGHEST_SEEN: u64 = 1 << 62;

/// A task that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The right to work on it.
    pub lease: Lease,
    /// The task, as it is after the claim.
    pub task: Task,
    /// How long ago it was first claimed, by the database's clock.
    pub begun_ago: Duration,
    /// How long it has until its deadline; zero if that has passed.
    pub time_left: Duration,
}

/// A step or wait that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunStep {
    /// Its place in the log, chosen by the runner: one more than the last.
    pub seq: u64,
    /// Its name.
    pub name: &'static str,
    /// The instance it is about.
    pub subject: Option<InstanceId>,
    /// When it began.
    pub at: Timestamp,
}

/// A step or wait that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedStep {
    /// Its place in the log.
    pub seq: u64,
    /// How it ended.
    pub outcome: StepOutcome,
    /// What went wrong.
    pub error: Option<String>,
    /// When it ended.
    pub at: Timestamp,
}

/// What a step found out or did, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The instance's machine is at this address.
    Address {
        /// The instance.
        instance: InstanceId,
        /// Its address.
        ip: String,
    },
    /// The instance's node passed the join fence with this id.
    Node {
        /// The instance.
        instance: InstanceId,
        /// Its node's id.
        node: NodeId,
    },
    /// The instance's machine is gone: it is deleted, it owes no FORGET any more, and its share of the quota is free.
    Gone {
        /// The instance.
        instance: InstanceId,
    },
    /// What the task was asked for is allowed.
    Accepted,
    /// The instance's node has left the cluster for good: it is on its way out, what it owed vanishes and, if its node
    /// was recorded, every other instance with a recorded node that is not on its way out owes a FORGET. An instance
    /// that already is on its way out, or gone, stays as it is, and nobody owes one for it.
    Left {
        /// The instance.
        instance: InstanceId,
    },
    /// The instance's node has forgotten a removed node: that debt is paid.
    Forgotten {
        /// The instance.
        instance: InstanceId,
        /// The removed node.
        node: NodeId,
    },
}

impl Change {
    /// The instance that it is about, if it is about one.
    pub fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::Address { instance, .. }
            | Self::Node { instance, .. }
            | Self::Gone { instance }
            | Self::Left { instance }
            | Self::Forgotten { instance, .. } => Some(*instance),
            Self::Accepted => None,
        }
    }
}

/// A node that was removed from a cluster, for as long as somebody may remember it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedNode {
    /// Its id.
    pub node: NodeId,
    /// The instance whose it was: its row says deleted, or will; its address is held back.
    pub instance: InstanceId,
    /// The cluster that it was removed from.
    pub cluster: ClusterId,
    /// The instances that have not forgotten it yet.
    pub debtors: BTreeSet<InstanceId>,
    /// When the last debt was paid, by the database's clock.
    pub paid: Option<Timestamp>,
    /// The highest token of the cluster: what its guests have seen of generations.
    pub generation: u64,
    /// The cluster is deleted: nobody is left who could remember.
    pub cluster_deleted: bool,
}

/// One entry of the step log with all that belongs to it, written in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// What ended.
    pub ended: Vec<EndedStep>,
    /// What came of it.
    pub changes: Vec<Change>,
    /// What begins.
    pub begun: Vec<BegunStep>,
    /// How far the task is, if that is news: the name of the step or wait, and a sentence for people.
    pub progress: Option<(&'static str, String)>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Succeeded,
    /// Otherwise; the fault is kept on task and cluster.
    Failed(Fault),
    /// What was asked for is not allowed: the fault is the task's, with the verdict refused. It is kept on the cluster
    /// only if nobody waits for the verdict any more, as nobody does who was told that it is accepted; otherwise the
    /// cluster's fault stays as it was.
    Refused(Fault),
}

/// The end of a task: all its consequences, written in one transaction. The cluster's task becomes NONE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How it ended. A success clears the cluster's fault.
    pub outcome: Outcome,
    /// The cluster is gone with it.
    pub cluster_deleted: bool,
    /// Instances that go on to another state of life.
    pub lifecycles: Vec<(InstanceId, Lifecycle)>,
    /// Instances on which the operation failed, each with the reason.
    pub faults: Vec<(InstanceId, String)>,
    /// Steps and waits that end with the task.
    pub ended: Vec<EndedStep>,
}
