//! The database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::catalogue::{Datastore, DatastoreVersion, Flavor};
use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::ids::{DatastoreId, DatastoreVersionId};
use redtrove_core::instance::{Heard, Instance};
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, TaskId, Timestamp};

use super::answer::KeptAnswer;
use super::operators::OperatorCluster;
use super::quota::{Resource, Usage};
use super::submission::{DeleteSubmitted, Growth, NewCluster, NewTask};
use super::upkeep::Upkeep;
use super::work::{Claimed, Ending, Lease, Record, RemovedNode};
use crate::task::{StepRecord, Task, Verdict};

/// Trouble with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The task is somebody else's by now, or has ended: stop at once, write nothing more.
    #[error("the lease on the task is lost")]
    LeaseLost,
    /// The database does not answer or is too busy; it may work later.
    #[error("the database does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A statement failed in a way that trying again does not mend.
    #[error("the database refused a statement")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds what no version of this program writes.
    #[error("the database holds an unreadable {what}: '{value}'")]
    Corrupt {
        /// The column.
        what: &'static str,
        /// What stands there.
        value: String,
    },
}

/// A submission that was not taken. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// No such cluster, or not one of this project's.
    #[error("no such cluster")]
    NotFound,
    /// The cluster is busy.
    #[error("the cluster is busy: {0}")]
    Busy(ClusterTask),
    /// The cluster has no such instance.
    #[error("the cluster has no instance {0}")]
    NoInstance(InstanceId),
    /// No instance of the cluster would be left.
    #[error("no instance would be left")]
    LeavesNothing,
    /// The cluster would have more instances than [`redtrove_core::request::MOST_MEMBERS`].
    #[error("the cluster would have {0} instances")]
    TooMany(usize),
    /// These resources ("instances", "volumes") would exceed their quota; sorted.
    #[error("quota exceeded for {0:?}")]
    Quota(Vec<&'static str>),
    /// The request's key was used before: this is the answer that it was given.
    #[error("the request was answered before")]
    Answered(Box<KeptAnswer>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A version of a datastore to be added, with its datastore where that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The datastore's name.
    pub datastore: String,
    /// The id that the datastore gets if it is new.
    pub datastore_id: DatastoreId,
    /// The version's name.
    pub version: String,
    /// The version's id.
    pub version_id: DatastoreVersionId,
    /// The server its nodes run.
    pub engine: Engine,
    /// It becomes the datastore's default.
    pub is_default: bool,
    /// redis.conf settings that replace the product's defaults.
    pub settings: BTreeMap<String, String>,
}

/// The database. Whatever compares times compares those of the database's own clock.
#[async_trait]
pub trait Store: Upkeep {
    /// Takes a new cluster: quota, cluster (task BUILDING), instances and task in one transaction.
    async fn create_cluster(&self, new: &NewCluster) -> Result<(), SubmitError>;

    /// Takes a delete, from every state: the cluster's running task ends as failed ("superseded by a delete"), the
    /// cluster becomes DELETING, its instances deleting. While a delete is under way nothing is written.
    async fn delete_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
    ) -> Result<DeleteSubmitted, SubmitError>;

    /// Takes a grow: the cluster becomes GROWING_CLUSTER if it is busy with nothing; quota, instances and task in one
    /// transaction. Gives the cluster as it is then, with the new instances only, in member order. Checked in this
    /// order: the cluster, that it is free, that it does not become too large, the quota.
    async fn grow_cluster(&self, growth: &Growth) -> Result<(Cluster, Vec<Instance>), SubmitError>;

    /// Takes a shrink of the instances that the task names: the cluster becomes SHRINKING_CLUSTER if it is busy with
    /// nothing. Checked in this order: the cluster, that it is free, that each is an instance of it that is not
    /// deleted, that another one is left. An instance that is named twice leaves once.
    async fn shrink_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), SubmitError>;

    /// Whoever asked waits no longer for the verdict of a task: if it is refused from now on, the cluster gets the
    /// fault. Gives the verdict if there is one already.
    async fn waive_verdict(&self, task: TaskId) -> Result<Option<Verdict>, StoreError>;

    /// The nodes that were removed from a cluster, or from every cluster, and that somebody may remember, by their ids.
    async fn removed_nodes(&self, cluster: Option<ClusterId>) -> Result<Vec<RemovedNode>, StoreError>;

    /// These instances have forgotten these removed nodes. A node whose last debt that was is paid for now.
    async fn pay_debts(&self, paid: &[(NodeId, InstanceId)]) -> Result<(), StoreError>;

    /// These instances remember a removed node after all: they owe again, and it is not paid for. Instances of another
    /// cluster, on their way out or gone cannot owe; if there is no other, or no such node, nothing changes.
    async fn owe_again(&self, node: NodeId, debtors: &[InstanceId]) -> Result<(), StoreError>;

    /// Nobody remembers the removed node any more, as a look has shown that was taken after `paid`: it is dropped, and
    /// nothing holds its address back. False, and nothing changes, if somebody owed again since, so that the look is
    /// worth nothing; that of a deleted cluster is dropped whatever was paid. One that is dropped already is as good.
    async fn drop_removed_node(&self, node: NodeId, paid: Option<Timestamp>) -> Result<bool, StoreError>;

    /// Takes a reset: what the cluster is busy with ends as failed ("superseded by a reset"), the cluster's task becomes
    /// NONE with that fault, and so do members that were being made. What is on its way out stays that, and a cluster
    /// that is not busy stays as it is. Returns the task that was superseded.
    async fn reset_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        answer: Option<&KeptAnswer>,
    ) -> Result<Option<TaskId>, SubmitError>;

    /// A cluster that is not deleted, with its instances that are not deleted, in member order.
    async fn cluster(&self, id: ClusterId) -> Result<Option<(Cluster, Vec<Instance>)>, StoreError>;

    /// The project's clusters that are not deleted, in the order of their ids, from the one after `after`.
    async fn clusters(
        &self,
        project: &ProjectId,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Vec<Instance>)>, StoreError>;

    /// An instance of the project that is not deleted, with its cluster. Implementations look it up by its id; this one
    /// walks through the project's clusters.
    async fn instance(&self, project: &ProjectId, id: InstanceId) -> Result<Option<(Cluster, Instance)>, StoreError> {
        let all = self.instances(project, None, u32::MAX).await?;
        Ok(all.into_iter().find(|(_, instance)| instance.id == id))
    }

    /// The project's instances that are not deleted, with their clusters, in the order of their ids, from the one
    /// after `after`. Implementations ask for the page; this one walks through the project's clusters.
    async fn instances(
        &self,
        project: &ProjectId,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Instance)>, StoreError> {
        let (mut found, mut last) = (Vec::new(), None);
        loop {
            let page = self.clusters(project, last, 100).await?;
            let Some((cluster, _)) = page.last() else { break };
            last = Some(cluster.id);
            for (cluster, members) in page {
                let after = members.into_iter().filter(|member| after.is_none_or(|id| member.id > id));
                found.extend(after.map(|member| (cluster.clone(), member)));
            }
        }
        found.sort_by_key(|(_, instance)| instance.id);
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Tasks that may be claimed now, oldest first: not ended, due, and without a valid lease.
    async fn claimable(&self, limit: u32) -> Result<Vec<TaskId>, StoreError>;

    /// How long until the first task becomes claimable that is not now, because its lease ends or its pause is over; nothing if
    /// there is none. A lease may be renewed until then.
    async fn next_claimable(&self) -> Result<Option<Duration>, StoreError>;

    /// Claims a task for `length`, if it may be claimed: a new token, one more attempt.
    async fn claim(&self, task: TaskId, owner: &str, length: Duration) -> Result<Option<Claimed>, StoreError>;

    /// Makes the lease last for `length` from now.
    async fn renew(&self, lease: &Lease, length: Duration) -> Result<(), StoreError>;

    /// Gives the task back, to be claimed again after `pause`.
    async fn release(&self, lease: &Lease, pause: Duration) -> Result<(), StoreError>;

    /// Lets every lease of `owner` run out now; says how many. For a daemon that starts: whoever held them in its
    /// name is dead, and if not, the token keeps it from writing once the task is claimed again.
    async fn expire_leases_of(&self, owner: &str) -> Result<u64, StoreError>;

    /// Raises the token of the lease and of its cluster to more than `seen`, which a guest has seen: after the
    /// database was restored from a backup, guests may be ahead of it. Broken if that is past [`HIGHEST_SEEN`].
    async fn raise_token(&self, lease: &Lease, seen: u64) -> Result<Lease, StoreError>;

    /// Writes an entry of the step log with all that belongs to it.
    async fn record(&self, lease: &Lease, record: &Record) -> Result<(), StoreError>;

    /// Ends the task with all its consequences.
    async fn finish(&self, lease: &Lease, ending: &Ending) -> Result<(), StoreError>;

    /// One task.
    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError>;

    /// The newest tasks first, of one cluster or of all, at most `limit`.
    async fn tasks(&self, cluster: Option<ClusterId>, limit: u32) -> Result<Vec<Task>, StoreError>;

    /// The step log of a task, in order.
    async fn steps(&self, task: TaskId) -> Result<Vec<StepRecord>, StoreError>;

    /// Every datastore with its versions, by name.
    async fn datastores(&self) -> Result<Vec<Datastore>, StoreError>;

    /// Adds a version to a datastore, and the datastore if it is new. False if there is such a version already.
    async fn add_version(&self, new: &NewVersion) -> Result<bool, StoreError>;

    /// The version of a cluster that may be deleted or not.
    async fn version(&self, id: DatastoreVersionId) -> Result<Option<DatastoreVersion>, StoreError>;

    /// The flavors that were last published, by id.
    async fn flavors(&self) -> Result<Vec<Flavor>, StoreError>;

    /// Replaces the published flavors.
    async fn put_flavors(&self, flavors: &[Flavor]) -> Result<(), StoreError>;

    /// Takes or renews the right to be the one monitor for `length`; false while it is another's.
    async fn take_monitor(&self, owner: &str, length: Duration) -> Result<bool, StoreError>;

    /// Every complete instance.
    async fn complete_instances(&self) -> Result<Vec<Instance>, StoreError>;

    /// Keeps what was heard of instances.
    async fn put_heard(&self, heard: &[(InstanceId, Heard)]) -> Result<(), StoreError>;

    /// Those of the given instances whose rows say that they are deleted, but those whose node was removed from a
    /// cluster and may be remembered. Ids without a row are not among them: after
    /// a restore from a backup, those are tenants' machines that the database has forgotten, not rubbish.
    async fn deleted_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError>;

    /// The time by the database's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// What the project has of each resource, in the order of [`Resource::ALL`].
    async fn usages(&self, project: &ProjectId) -> Result<Vec<Usage>, StoreError>;

    /// Gives the project limits of its own, or with none the installation's again. A limit below what is in use takes
    /// nothing away; it only lets nothing be added.
    async fn put_limits(&self, project: &ProjectId, limits: &BTreeMap<Resource, Option<i64>>)
    -> Result<(), StoreError>;

    /// The answer that is kept under `id`, if it was given within [`ANSWERS_KEPT`](super::ANSWERS_KEPT).
    async fn answer(&self, id: &str) -> Result<Option<KeptAnswer>, StoreError>;

    /// Keeps what an answer that hung on a verdict turned out to be. One that is settled stays as it is.
    async fn settle_answer(&self, id: &str, status: u16, body: &str) -> Result<(), StoreError>;

    /// Clusters of every project, in the order of their ids, from the one after `after`: those that are deleted, those
    /// that are not, or all.
    async fn operator_clusters(
        &self,
        deleted: Option<bool>,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<OperatorCluster>, StoreError>;

    /// One cluster of any project, deleted or not.
    async fn operator_cluster(&self, id: ClusterId) -> Result<Option<OperatorCluster>, StoreError>;
}
