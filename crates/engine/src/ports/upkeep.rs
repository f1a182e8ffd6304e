//! What looking after an installation reads and writes: beside the tasks, and never on behalf of one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::instance::Instance;
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, TaskId, Timestamp};

use super::quota::Resource;
use super::store::StoreError;
use crate::task::Task;

/// How long nobody may look for orphans before those that are seen then count as seen for the first time.
pub const ORPHANS_ARE_SEEN_WITHIN: Duration = Duration::from_secs(600);

/// When members were last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The time by the database's clock.
    pub now: Timestamp,
    /// When a monitor began its last round; absent if there never was one.
    pub looked: Option<Timestamp>,
    /// Until when a monitor has the right to look. One of a release that does not write when it looks has it, too.
    pub until: Option<Timestamp>,
}

impl Watched {
    /// Since when nobody looks any more, if that is longer than `expiry`.
    pub fn ended(self, expiry: Duration) -> Option<Timestamp> {
        let watched = self.until.is_some_and(|until| until > self.now);
        self.looked.filter(|looked| !watched && self.now.since(*looked) > expiry)
    }
}

/// A task that has not ended, and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTask {
    /// The task.
    pub task: Task,
    /// When its lease ends or ended; absent if nobody has one.
    pub lease_ends: Option<Timestamp>,
    /// It is not to be claimed before.
    pub not_before: Timestamp,
}

/// What a project is said to use, and what its rows come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDifference {
    /// The project.
    pub project: ProjectId,
    /// The resource.
    pub resource: Resource,
    /// What it is said to use.
    pub in_use: i64,
    /// What its instances come to.
    pub counted: i64,
}

/// Something that the provider holds and no row wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Whose it was.
    pub instance: InstanceId,
    /// When it was seen first, by the database's clock.
    pub first_seen: Timestamp,
}

/// The fault of a cluster, and of its members that were being made, whose operation had no task.
pub const OPERATION_LOST: &str = "The operation was lost.";

/// The fault of a task that its cluster does not know.
pub const TASK_ASTRAY: &str = "The cluster is not busy with this task.";

/// One thing to be put right. Each holds its condition in itself: what is not so any more is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// The cluster is busy with a task that has ended or is missing: it becomes free, with a fault.
    Free {
        /// The cluster.
        cluster: ClusterId,
    },
    /// The task has not ended and its cluster does not know it: it ends as failed.
    Supersede {
        /// The task.
        task: TaskId,
    },
    /// The project uses something else than is said.
    Recount {
        /// The project.
        project: ProjectId,
        /// The resource.
        resource: Resource,
    },
    /// The instance is being made by nobody, and has no fault: it gets one.
    Blame {
        /// The instance.
        instance: InstanceId,
    },
    /// The instance's cluster is deleted and its machine gone, and the instance is not deleted: it is from now on, with
    /// all that belongs to it (see `Change::Gone`).
    Bury {
        /// The instance.
        instance: InstanceId,
    },
}

/// The part of the database that upkeep needs.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// When members were last looked at.
    async fn watched(&self) -> Result<Watched, StoreError>;

    /// How many slots each cluster serves that is not deleted, where that is known.
    async fn slots_served(&self) -> Result<BTreeMap<ClusterId, Option<u32>>, StoreError>;

    /// Keeps how many slots these clusters serve.
    async fn put_slots_served(&self, served: &[(ClusterId, u32)]) -> Result<(), StoreError>;

    /// Every task that has not ended.
    async fn open_tasks(&self) -> Result<Vec<OpenTask>, StoreError>;

    /// Instances that are not deleted, of clusters that are.
    async fn left_behind(&self) -> Result<Vec<Instance>, StoreError>;

    /// Every usage of quota that is not what the rows come to.
    async fn usage_differences(&self) -> Result<Vec<UsageDifference>, StoreError>;

    /// Removed nodes that are not paid for and whose instances left, or that were owed for again, longer than `age` ago.
    async fn old_debts(&self, age: Duration) -> Result<Vec<NodeId>, StoreError>;

    /// Those of the given instances that no row knows.
    async fn unknown_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError>;

    /// What was last seen at the provider and is wanted by no row. If nobody has looked for longer than
    /// [`ORPHANS_ARE_SEEN_WITHIN`], all of it is seen for the first time now: who is warned has to be there.
    async fn orphans(&self) -> Result<Vec<Orphan>, StoreError>;

    /// These, and no others, are there now and wanted by no row. Those that were known keep their time, see
    /// [`Upkeep::orphans`].
    async fn put_orphans(&self, present: &BTreeSet<InstanceId>) -> Result<(), StoreError>;

    /// Puts something right; false if there is nothing to be put right.
    async fn amend(&self, amendment: &Amendment) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_right_to_look_is_looking() {
        let (now, expiry) = (Timestamp(100_000), Duration::from_secs(60));
        let looked = Some(Timestamp(30_000));
        let ended = |looked, until| Watched { now, looked, until }.ended(expiry);
        assert_eq!(ended(looked, Some(Timestamp(90_000))), looked);
        assert_eq!(ended(looked, Some(Timestamp(100_001))), None, "it does not say when it looks");
        assert_eq!(ended(Some(Timestamp(40_000)), None), None);
        assert_eq!(ended(None, None), None, "nobody ever did");
    }
}
