//! Plans: pure functions from what was seen to what is left to do.
//!
//! A task never remembers how far it came. It looks, asks the plan of its kind what is left, does that, and looks
//! again; so restarting at any point is the normal path. Every step may be done twice.

#[cfg(test)]
mod bench;
pub mod create;
pub mod delete;
pub mod grow;
mod guests;
pub mod shrink;
mod strays;

use std::fmt;
use std::time::Duration;

pub use guests::{Limits, Member, Sight};

use crate::fault::Fault;
use crate::ids::{InstanceId, NodeId};
use crate::slots::SlotRange;

/// What is left of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These steps; each is independent of the others, so they may be done at the same time.
    Do(Vec<Step>),
    /// Nothing can be done but to look again.
    Wait(Wait),
    /// Nothing: the task has succeeded.
    Done,
    /// The task cannot succeed any more.
    Fail(Failure),
    /// What is asked for is not allowed as things are. Nothing was changed; no member and no cluster is at fault.
    Refuse(Fault),
}

/// A pause between two looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for, in one word; names the line in the step log.
    pub name: &'static str,
    /// How far it is, for people: "2 of 3 guests are ready".
    pub progress: String,
    /// The pause before the first new look; later pauses grow.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

/// Why a task cannot succeed, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason, kept on the cluster.
    pub fault: Fault,
    /// The members that it concerns, each with its own reason.
    pub members: Vec<(InstanceId, String)>,
}

/// One step. Doing it when it is done already changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Find or make the member's machine.
    EnsureMachine {
        /// The member.
        member: InstanceId,
    },
    /// Have the agent configure and start redis-server.
    Prepare {
        /// The member.
        member: InstanceId,
    },
    /// The member passed the join fence: record its node id.
    JoinFence {
        /// The member.
        member: InstanceId,
        /// The id that its node has.
        node: NodeId,
    },
    /// Give the member its configuration epoch and slots, and start the fast gossip of formation.
    AddSlots {
        /// The member.
        member: InstanceId,
        /// The recorded id of its node; the agent refuses if it is another.
        node: NodeId,
        /// The slots it is to own.
        slots: SlotRange,
        /// The configuration epoch it is to have, 1 or more.
        epoch: u64,
        /// The cluster-node-timeout until the cluster is complete.
        forming_node_timeout: Duration,
    },
    /// Have the member shake hands with another.
    Meet {
        /// The member.
        member: InstanceId,
        /// The other one.
        with: InstanceId,
        /// The member joins a cluster that serves already.
        joining: Option<Joining>,
    },
    /// Restore the product's node timeout and let tenants in.
    Complete {
        /// The member.
        member: InstanceId,
    },
    /// Remove the machines of these members, which are all of a cluster that still have one, and all they hold. None of
    /// their addresses is free before the last machine is gone.
    Destroy {
        /// The members.
        members: Vec<InstanceId>,
    },
    /// Shut tenants out of the member for two minutes, or for two more.
    Close {
        /// The member.
        member: InstanceId,
        /// The recorded id of its node.
        node: NodeId,
    },
    /// Let tenants into the member again.
    Reopen {
        /// The member.
        member: InstanceId,
        /// The recorded id of its node.
        node: NodeId,
    },
    /// What was asked for is allowed: whoever waits for the verdict may go.
    Accept,
    /// Empty the member, which is closed, and have it forget its cluster and its id.
    Leave {
        /// The member.
        member: InstanceId,
        /// The recorded id of its node.
        node: NodeId,
    },
    /// Have the member forget these nodes.
    Forget {
        /// The member.
        member: InstanceId,
        /// The nodes, none of them of a member.
        nodes: Vec<NodeId>,
    },
    /// Remove a leaver's machine and all it holds but its address, where others may still look for its node.
    Remove {
        /// The member.
        member: InstanceId,
        /// Others may know its node: its address is held back until all have forgotten it.
        hold_address: bool,
    },
}

/// How a node joins a cluster that serves already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joining {
    /// The recorded id of the joining node; the agent refuses if it is another.
    pub node: NodeId,
    /// Its cluster-node-timeout until it is complete.
    pub forming_node_timeout: Duration,
}

impl Step {
    /// The step's name in logs and in the step log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureMachine { .. } => "ensure_machine",
            Self::Prepare { .. } => "prepare",
            Self::JoinFence { .. } => "join_fence",
            Self::AddSlots { .. } => "cluster_addslots",
            Self::Meet { .. } => "cluster_meet",
            Self::Complete { .. } => "cluster_complete",
            Self::Destroy { .. } => "destroy",
            Self::Close { .. } => "close_to_tenants",
            Self::Reopen { .. } => "reopen_to_tenants",
            Self::Accept => "accept",
            Self::Leave { .. } => "leave_cluster",
            Self::Forget { .. } => "remove_nodes",
            Self::Remove { .. } => "remove_machine",
        }
    }

    /// The member that the step is about, if it is about one.
    pub fn member(&self) -> Option<InstanceId> {
        match self {
            Self::EnsureMachine { member }
            | Self::Prepare { member }
            | Self::JoinFence { member, .. }
            | Self::AddSlots { member, .. }
            | Self::Meet { member, .. }
            | Self::Complete { member }
            | Self::Close { member, .. }
            | Self::Reopen { member, .. }
            | Self::Leave { member, .. }
            | Self::Forget { member, .. }
            | Self::Remove { member, .. } => Some(*member),
            Self::Destroy { .. } | Self::Accept => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member() {
            Some(member) => write!(f, "{} of {member}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}
