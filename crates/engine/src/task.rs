//! Tasks: one operation on one cluster, from the request to its end.

use std::fmt;
use std::str::FromStr;

use redtrove_core::cluster::{ClusterTask, UnknownName};
use redtrove_core::{ClusterId, InstanceId, RequestId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Make a cluster.
    CreateCluster,
    /// Remove a cluster.
    DeleteCluster,
    /// Add members to a cluster.
    GrowCluster,
    /// Remove members from a cluster.
    ShrinkCluster,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::CreateCluster, Self::DeleteCluster, Self::GrowCluster, Self::ShrinkCluster];

    /// The name in the database, in messages (routing key `task.<name>`) and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateCluster => "create_cluster",
            Self::DeleteCluster => "delete_cluster",
            Self::GrowCluster => "grow_cluster",
            Self::ShrinkCluster => "shrink_cluster",
        }
    }

    /// What the cluster shows while such a task is under way.
    pub fn cluster_task(self) -> ClusterTask {
        match self {
            Self::CreateCluster => ClusterTask::Building,
            Self::DeleteCluster => ClusterTask::Deleting,
            Self::GrowCluster => ClusterTask::GrowingCluster,
            Self::ShrinkCluster => ClusterTask::ShrinkingCluster,
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TaskKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Nobody has begun it.
    Pending,
    /// Begun; a lease says by whom, and an expired lease that somebody else may go on.
    Running,
    /// Ended as asked.
    Succeeded,
    /// Ended otherwise; its fault says why.
    Failed,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether the task has ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TaskState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Whether what a task was asked for is allowed, where that takes a look at the nodes: the answer to a request that
/// waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is, and it is being done.
    Accepted,
    /// It is not; the task has failed, and its fault says why.
    Refused,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 2] = [Self::Accepted, Self::Refused];

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

impl FromStr for Verdict {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// A task as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Its id; version 7, so that tasks sort by the time they were asked for.
    pub id: TaskId,
    /// The cluster it works on.
    pub cluster: ClusterId,
    /// What it does.
    pub kind: TaskKind,
    /// The instances that it is about, where those are not all of the cluster's.
    pub members: Vec<InstanceId>,
    /// Where it is.
    pub state: TaskState,
    /// Whether what was asked for is allowed, once that is known. Only a shrink has one.
    pub verdict: Option<Verdict>,
    /// The step or wait it is in, by name.
    pub step: Option<String>,
    /// How far it is, for people.
    pub progress: Option<String>,
    /// How often it was claimed.
    pub attempt: u32,
    /// Who runs it, while somebody does.
    pub lease_owner: Option<String>,
    /// When it has to have ended.
    pub deadline: Timestamp,
    /// Why it failed.
    pub fault: Option<String>,
    /// The request that asked for it.
    pub request: RequestId,
    /// The W3C trace context it was asked for in.
    pub traceparent: Option<String>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it was first claimed.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// It did what it says.
    Done,
    /// It could not, and will be tried again.
    Retry,
    /// It could not, and the task with it.
    Failed,
}

impl StepOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Done, Self::Retry, Self::Failed];

    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for StepOutcome {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// One line of a task's step log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Its place in the log, from 1, growing.
    pub seq: u64,
    /// The name of the step or wait.
    pub name: String,
    /// The instance it is about; absent for what is about the whole cluster.
    pub subject: Option<InstanceId>,
    /// How it ended; absent while it runs, and for ever if its runner died in it.
    pub outcome: Option<StepOutcome>,
    /// What went wrong.
    pub error: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}
