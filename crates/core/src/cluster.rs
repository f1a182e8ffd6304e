//! Clusters: what one is, what it can be busy with, and which moves are legal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::catalogue::DatastoreLabel;
use crate::ids::{ClusterId, ProjectId, TaskId};
use crate::placement::Locality;
use crate::time::Timestamp;

/// What a cluster is busy with; Trove's ClusterTask (`trove/cluster/tasks.py`), with its ids and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterTask {
    /// Nothing: ready for the next operation.
    None,
    /// The initial build.
    Building,
    /// Being deleted; no way back.
    Deleting,
    /// Members are being added.
    GrowingCluster,
    /// Members are being removed.
    ShrinkingCluster,
}

impl ClusterTask {
    /// Every task.
    pub const ALL: [Self; 5] =
        [Self::None, Self::Building, Self::Deleting, Self::GrowingCluster, Self::ShrinkingCluster];

    /// Trove's number.
    pub fn id(self) -> u32 {
        match self {
            Self::None => 1,
            Self::Building => 2,
            Self::Deleting => 3,
            Self::GrowingCluster => 5,
            Self::ShrinkingCluster => 6,
        }
    }

    /// Trove's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Building => "BUILDING",
            Self::Deleting => "DELETING",
            Self::GrowingCluster => "GROWING_CLUSTER",
            Self::ShrinkingCluster => "SHRINKING_CLUSTER",
        }
    }

    /// Trove's sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::None => "No tasks for the cluster.",
            Self::Building => "Building the initial cluster.",
            Self::Deleting => "Deleting the cluster.",
            Self::GrowingCluster => "Increasing the size of the cluster.",
            Self::ShrinkingCluster => "Decreasing the size of the cluster.",
        }
    }

    /// Whether a cluster may go from this task to `next`. Every operation ends at NONE, whether it succeeded or
    /// failed, and starts from there; a delete may start at any time and, if it succeeds, ends with the cluster.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::None => self != Self::None,
            Self::Building => false,
            Self::Deleting => self != Self::Deleting,
            Self::GrowingCluster | Self::ShrinkingCluster => self == Self::None,
        }
    }
}

impl fmt::Display for ClusterTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no value of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not known here")]
pub struct UnknownName(pub String);

impl FromStr for ClusterTask {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|task| task.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// A cluster as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Whose it is.
    pub project: ProjectId,
    /// The tenant's name for it, 1 to 255 characters; not unique.
    pub name: String,
    /// What it is busy with.
    pub task: ClusterTask,
    /// The task row that works on it now.
    pub operation: Option<TaskId>,
    /// What it runs.
    pub datastore: DatastoreLabel,
    /// Where its members are to be in relation to each other.
    pub locality: Option<Locality>,
    /// Why its last operation failed, if it did.
    pub fault: Option<String>,
    /// How many of the 16384 slots its members serve, as last heard; absent until then.
    pub slots_served: Option<u32>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it last changed in a way that tenants can see.
    pub updated: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_reads_back_its_name() {
        for task in ClusterTask::ALL {
            assert_eq!(task.name().parse::<ClusterTask>(), Ok(task));
        }
        assert!("NOTHING".parse::<ClusterTask>().is_err());
    }

    #[test]
    fn only_a_delete_interrupts() {
        for task in ClusterTask::ALL {
            assert!(!task.may_become(ClusterTask::Building), "a build happens once, at birth");
            assert_eq!(task.may_become(ClusterTask::Deleting), task != ClusterTask::Deleting);
            assert_eq!(task.may_become(ClusterTask::None), task != ClusterTask::None, "every operation ends");
            assert_eq!(task.may_become(ClusterTask::GrowingCluster), task == ClusterTask::None);
        }
    }
}
