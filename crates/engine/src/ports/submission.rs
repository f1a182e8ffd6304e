//! What is asked of a project's clusters: rows to be written in one transaction or not at all.

use std::time::Duration;

use redtrove_core::ids::DatastoreVersionId;
use redtrove_core::instance::{Heard, Instance, Lifecycle};
use redtrove_core::placement::{Locality, Placement};
use redtrove_core::{ClusterId, InstanceId, ProjectId, RequestId, SlotRange, TaskId, Timestamp};

use super::answer::{KeptAnswer, LateAnswer};
use super::quota::Limits;
use crate::submit::member_name;
use crate::task::TaskKind;

/// The task of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// The request that asks for it.
    pub request: RequestId,
    /// The W3C trace context of that request.
    pub traceparent: Option<String>,
    /// How long it may take.
    pub time_limit: Duration,
    /// The instances that it is about, where those are not all of the cluster's.
    pub members: Vec<InstanceId>,
    /// How long whoever asks waits for the verdict: refused later than that, it leaves a fault on the cluster.
    pub verdict_within: Option<Duration>,
}

/// An instance of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its name.
    pub name: String,
    /// Its number in the cluster, from 1.
    pub number: u32,
    /// The id of its flavor.
    pub flavor_id: String,
    /// The memory of its flavor, MB.
    pub ram_mb: u64,
    /// The size of its volume, GB.
    pub volume_gb: u64,
    /// Where its machine is asked to be.
    pub placement: Placement,
    /// The slots it is to own.
    pub planned_slots: Option<SlotRange>,
}

impl NewInstance {
    /// The instance as it reads once its submission was taken.
    pub fn row(&self, cluster: ClusterId, now: Timestamp) -> Instance {
        Instance {
            id: self.id,
            cluster,
            name: self.name.clone(),
            number: self.number,
            flavor_id: self.flavor_id.clone(),
            ram_mb: self.ram_mb,
            volume_gb: self.volume_gb,
            placement: self.placement.clone(),
            lifecycle: Lifecycle::Building,
            ip: None,
            node_id: None,
            planned_slots: self.planned_slots,
            fault: None,
            heard: Heard::default(),
            created: now,
            updated: now,
        }
    }
}

/// A cluster to be made: all its rows, written in one transaction or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// Its id.
    pub id: ClusterId,
    /// Whose it is.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// What it runs.
    pub version: DatastoreVersionId,
    /// Where its members are to be in relation to each other.
    pub locality: Option<Locality>,
    /// Its members, in member order.
    pub instances: Vec<NewInstance>,
    /// When it was asked for, by the database's clock.
    pub created: Timestamp,
    /// The task that makes it.
    pub task: NewTask,
    /// What the project may have in all, unless it has limits of its own.
    pub limits: Limits,
    /// The answer to be kept, if the request has a key.
    pub answer: Option<KeptAnswer>,
}

/// An instance to be added to a cluster. Its number and its name follow those that the cluster ever had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joiner {
    /// Its id.
    pub id: InstanceId,
    /// The id of its flavor.
    pub flavor_id: String,
    /// The memory of its flavor, MB.
    pub ram_mb: u64,
    /// The size of its volume, GB.
    pub volume_gb: u64,
    /// Where it is to be, and what it is to be made of.
    pub placement: Placement,
}

impl Joiner {
    /// It as the instance with this number of the cluster of this name. It is given no slots.
    pub fn numbered(&self, cluster: &str, number: u32) -> NewInstance {
        NewInstance {
            id: self.id,
            name: member_name(cluster, number),
            number,
            flavor_id: self.flavor_id.clone(),
            ram_mb: self.ram_mb,
            volume_gb: self.volume_gb,
            placement: self.placement.clone(),
            planned_slots: None,
        }
    }
}

/// A cluster to be grown: all of it is written in one transaction or nothing is.
#[derive(Debug, Clone)]
pub struct Growth {
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose it is.
    pub project: ProjectId,
    /// The instances to be added, in order.
    pub joiners: Vec<Joiner>,
    /// The task that adds them, with their ids as its members.
    pub task: NewTask,
    /// What the project may have in all, unless it has limits of its own.
    pub limits: Limits,
    /// The answer to be kept, if the request has a key.
    pub answer: Option<LateAnswer>,
}

/// The fault that a reset leaves on the cluster, and on the members that were being made.
pub const ENDED_BY_RESET: &str = "The operation was ended by a reset.";

/// What became of a request to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteSubmitted {
    /// The task was taken; a task that was under way has ended, superseded.
    Taken,
    /// A delete is under way already: this one changes nothing.
    UnderWay(TaskId),
}
