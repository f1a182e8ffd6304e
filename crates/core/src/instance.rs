//! Instances: the members of clusters, one machine and one redis-server each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cluster::UnknownName;
use crate::ids::{ClusterId, InstanceId, NodeId};
use crate::placement::Placement;
use crate::slots::SlotRange;
use crate::time::Timestamp;

/// The port for clients on every node.
pub const REDIS_PORT: u16 = 6379;
/// The port of the cluster bus on every node.
pub const BUS_PORT: u16 = 16379;

/// Where an instance is in its life. What tenants see is derived from it and from what was heard of the node:
/// [`crate::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// Asked for; its machine and its place in the cluster are being made.
    Building,
    /// A member of a formed cluster.
    Complete,
    /// On its way out.
    Deleting,
    /// Gone. The row stays, its id is never used again.
    Deleted,
}

impl Lifecycle {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Building, Self::Complete, Self::Deleting, Self::Deleted];

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Complete => "complete",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Whether an instance may go from this state to `next`: only ever forward.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Building, Self::Complete | Self::Deleting)
                | (Self::Complete, Self::Deleting)
                | (Self::Deleting, Self::Deleted)
        )
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lifecycle {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// An instance as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id; also the name in its certificate and of its machine.
    pub id: InstanceId,
    /// The cluster it is a member of.
    pub cluster: ClusterId,
    /// `<cluster>-member-<number>`.
    pub name: String,
    /// Its number, from 1, never used again in this cluster.
    pub number: u32,
    /// The flavor it was made with.
    pub flavor_id: String,
    /// The memory of that flavor, MB, kept as the flavor may be gone later.
    pub ram_mb: u64,
    /// The size of its volume, GB.
    pub volume_gb: u64,
    /// Where its machine is asked to be.
    pub placement: Placement,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// Where its redis-server is, once its machine exists.
    pub ip: Option<String>,
    /// The id of its node, recorded when it passed the join fence.
    pub node_id: Option<NodeId>,
    /// The slots it is given when the cluster forms. Absent for one that joins later, empty-handed.
    pub planned_slots: Option<SlotRange>,
    /// Why the last operation on it failed, if it did.
    pub fault: Option<String>,
    /// What was last heard of it.
    pub heard: Heard,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it last changed in a way that tenants can see.
    pub updated: Timestamp,
}

/// How a redis-server is, in its agent's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisState {
    /// Nothing was heard yet, or the agent has not been told to prepare it.
    #[default]
    Unknown,
    /// Being started.
    Starting,
    /// Reading its data set.
    Loading,
    /// Answering.
    Running,
    /// Ended, or not answering.
    Down,
}

impl RedisState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Starting, Self::Loading, Self::Running, Self::Down];

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Down => "down",
        }
    }
}

impl FromStr for RedisState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What the monitor last heard of an instance. Written only when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// How its redis-server is.
    pub redis: RedisState,
    /// Its agent has not answered since then; absent while it answers.
    pub silent_since: Option<Timestamp>,
    /// A majority of the members that answer hold its node for failed.
    pub held_failed: bool,
    /// What its volume holds, MB, rounded up; absent until heard.
    pub volume_used_mb: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_only_goes_forward() {
        for (at, state) in Lifecycle::ALL.into_iter().enumerate() {
            assert_eq!(state.name().parse::<Lifecycle>(), Ok(state));
            for (to, next) in Lifecycle::ALL.into_iter().enumerate() {
                assert!(!state.may_become(next) || to > at, "{state} to {next}");
            }
        }
        assert!(!Lifecycle::Complete.may_become(Lifecycle::Deleted), "a delete shows before it is done");
    }
}
