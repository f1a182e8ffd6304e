//! The port: each method and the transaction or query behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::catalogue::{Datastore, DatastoreVersion, Flavor};
use redtrove_core::cluster::Cluster;
use redtrove_core::ids::DatastoreVersionId;
use redtrove_core::instance::{Heard, Instance};
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, TaskId, Timestamp};
use redtrove_engine::ports::{
    Claimed, DeleteSubmitted, Ending, Growth, KeptAnswer, Lease, NewCluster, NewTask, NewVersion, OperatorCluster,
    Record, RemovedNode, Resource, Store, StoreError, SubmitError, Usage,
};
use redtrove_engine::task::{StepRecord, Task, Verdict};

use crate::backend::{Backend, SqlStore};
use crate::debts::by_node;
use crate::passing::retried;
use crate::tasks::Doubt;

#[async_trait]
impl<B: Backend> Store for SqlStore<B> {
    async fn create_cluster(&self, new: &NewCluster) -> Result<(), SubmitError> {
        retried!(self.insert_cluster(new), or self.find_task(new.task.id))
    }

    async fn delete_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
    ) -> Result<DeleteSubmitted, SubmitError> {
        retried!(self.take_over(project, cluster, task), or self.find_delete(task.id))
    }

    async fn grow_cluster(&self, growth: &Growth) -> Result<(Cluster, Vec<Instance>), SubmitError> {
        retried!(self.insert_growth(growth), or self.find_growth(growth))
    }

    async fn shrink_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), SubmitError> {
        retried!(self.insert_shrink(project, cluster, task, answer), or self.find_task(task.id))
    }

    async fn waive_verdict(&self, task: TaskId) -> Result<Option<Verdict>, StoreError> {
        retried!(self.waive(task))
    }

    async fn removed_nodes(&self, cluster: Option<ClusterId>) -> Result<Vec<RemovedNode>, StoreError> {
        self.read_removed(cluster).await
    }

    async fn pay_debts(&self, paid: &[(NodeId, InstanceId)]) -> Result<(), StoreError> {
        for (node, debtors) in by_node(paid) {
            retried!(self.write_paid(node, &debtors))?;
        }
        Ok(())
    }

    async fn owe_again(&self, node: NodeId, debtors: &[InstanceId]) -> Result<(), StoreError> {
        retried!(self.write_owed(node, debtors))
    }

    async fn drop_removed_node(&self, node: NodeId, paid: Option<Timestamp>) -> Result<bool, StoreError> {
        retried!(self.delete_removed(node, paid))
    }

    async fn reset_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        answer: Option<&KeptAnswer>,
    ) -> Result<Option<TaskId>, SubmitError> {
        let meant = OnceLock::new();
        retried!(self.end_operation(project, cluster, answer, &meant), or self.find_reset(answer, &meant))
    }

    async fn cluster(&self, id: ClusterId) -> Result<Option<(Cluster, Vec<Instance>)>, StoreError> {
        self.read_cluster(id).await
    }

    async fn clusters(
        &self,
        project: &ProjectId,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Vec<Instance>)>, StoreError> {
        self.read_clusters(project, after, limit).await
    }

    async fn instance(&self, project: &ProjectId, id: InstanceId) -> Result<Option<(Cluster, Instance)>, StoreError> {
        self.read_instance(project, id).await
    }

    async fn instances(
        &self,
        project: &ProjectId,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Instance)>, StoreError> {
        self.read_instances(project, after, limit).await
    }

    async fn claimable(&self, limit: u32) -> Result<Vec<TaskId>, StoreError> {
        self.read_claimable(limit).await
    }

    async fn next_claimable(&self) -> Result<Option<Duration>, StoreError> {
        self.read_next_claimable().await
    }

    async fn claim(&self, task: TaskId, owner: &str, length: Duration) -> Result<Option<Claimed>, StoreError> {
        let doubt = Doubt::default();
        retried!(self.take_lease(task, owner, length, &doubt))
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<(), StoreError> {
        retried!(self.extend_lease(lease, length))
    }

    async fn release(&self, lease: &Lease, pause: Duration) -> Result<(), StoreError> {
        retried!(self.give_back(lease, pause))
    }

    async fn expire_leases_of(&self, owner: &str) -> Result<u64, StoreError> {
        retried!(self.expire_leases(owner))
    }

    async fn raise_token(&self, lease: &Lease, seen: u64) -> Result<Lease, StoreError> {
        let doubt = Doubt::default();
        retried!(self.outgrow(lease, seen, &doubt))
    }

    async fn record(&self, lease: &Lease, record: &Record) -> Result<(), StoreError> {
        retried!(self.write_record(lease, record))
    }

    async fn finish(&self, lease: &Lease, ending: &Ending) -> Result<(), StoreError> {
        retried!(self.write_ending(lease, ending), or self.find_ending(lease, ending))
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.read_task(id).await
    }

    async fn tasks(&self, cluster: Option<ClusterId>, limit: u32) -> Result<Vec<Task>, StoreError> {
        self.read_tasks(cluster, limit).await
    }

    async fn steps(&self, task: TaskId) -> Result<Vec<StepRecord>, StoreError> {
        self.read_steps(task).await
    }

    async fn datastores(&self) -> Result<Vec<Datastore>, StoreError> {
        self.read_datastores().await
    }

    async fn add_version(&self, new: &NewVersion) -> Result<bool, StoreError> {
        retried!(self.insert_version(new), lost false => Ok(self.read_version(new.version_id).await?.is_some()))
    }

    async fn version(&self, id: DatastoreVersionId) -> Result<Option<DatastoreVersion>, StoreError> {
        self.read_version(id).await
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, StoreError> {
        self.read_flavors().await
    }

    async fn put_flavors(&self, flavors: &[Flavor]) -> Result<(), StoreError> {
        retried!(self.replace_flavors(flavors))
    }

    async fn take_monitor(&self, owner: &str, length: Duration) -> Result<bool, StoreError> {
        retried!(self.take_right("monitor", owner, length))
    }

    async fn complete_instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.read_complete().await
    }

    async fn put_heard(&self, heard: &[(InstanceId, Heard)]) -> Result<(), StoreError> {
        // In parts, so that the writers of tasks get their turns.
        for part in heard.chunks(200) {
            retried!(self.write_heard(part))?;
        }
        Ok(())
    }

    async fn deleted_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
        self.read_deleted(ids).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.clock().await
    }

    async fn usages(&self, project: &ProjectId) -> Result<Vec<Usage>, StoreError> {
        self.read_usages(project).await
    }

    async fn put_limits(
        &self,
        project: &ProjectId,
        limits: &BTreeMap<Resource, Option<i64>>,
    ) -> Result<(), StoreError> {
        retried!(self.write_limits(project, limits))
    }

    async fn answer(&self, id: &str) -> Result<Option<KeptAnswer>, StoreError> {
        self.read_answer(id).await
    }

    async fn settle_answer(&self, id: &str, status: u16, body: &str) -> Result<(), StoreError> {
        retried!(self.close_answer(id, status, body))
    }

    async fn operator_clusters(
        &self,
        deleted: Option<bool>,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<OperatorCluster>, StoreError> {
        self.read_operator_clusters(deleted, after, limit).await
    }

    async fn operator_cluster(&self, id: ClusterId) -> Result<Option<OperatorCluster>, StoreError> {
        self.read_operator_cluster(id).await
    }
}
