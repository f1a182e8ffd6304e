//! A database in memory. Each call is one transaction: it changes everything it says, or nothing.

mod tables;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::catalogue::{Datastore, DatastoreVersion, Flavor};
use redtrove_core::cluster::Cluster;
use redtrove_core::ids::DatastoreVersionId;
use redtrove_core::instance::{Heard, Instance};
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, TaskId, Timestamp};
pub(super) use tables::{ClusterRow, Tables, TaskRow};

use super::chaos::Trouble;
use super::clock::date;
use super::{Call, Incarnation, State};
use crate::ports::{
    Claimed, DeleteSubmitted, Ending, Growth, KeptAnswer, Lease, NewCluster, NewTask, NewVersion, OperatorCluster,
    Record, RemovedNode, Resource, Store, StoreError, SubmitError, Usage,
};
use crate::task::{StepRecord, Task, Verdict};

/// [`Store`] of a simulated world.
#[derive(Debug, Clone)]
pub struct SimStore(pub(super) Incarnation);

fn trouble(trouble: Trouble) -> StoreError {
    match trouble {
        Trouble::Transient => StoreError::Unavailable("simulated".into()),
        Trouble::Permanent => StoreError::Broken("simulated".into()),
    }
}

impl SimStore {
    async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        mut read: impl FnMut(&Tables) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_at(name, move |tables, _| read(tables)).await
    }

    async fn read_at<T: Send + 'static>(
        &self,
        name: &'static str,
        mut read: impl FnMut(&Tables, Timestamp) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let effect = move |state: &mut State, now| Ok(read(&state.store, date(now)));
        self.0.call(Call::read(name), effect, trouble).await
    }

    /// A transaction that checks all it depends on before it changes anything.
    async fn write<T: Send + 'static>(
        &self,
        call: Call,
        mut write: impl FnMut(&mut Tables, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let effect = move |state: &mut State, now| write(&mut state.store, date(now));
        self.0.call(call, effect, trouble).await
    }

    /// A transaction that may find out in the middle that it cannot be: what fails leaves no trace.
    async fn submit<T: Send + 'static>(
        &self,
        name: &'static str,
        mut write: impl FnMut(&mut Tables, Timestamp) -> Result<T, SubmitError> + Send + 'static,
    ) -> Result<T, SubmitError> {
        let effect = move |state: &mut State, now| {
            let mut tables = state.store.clone();
            let result = write(&mut tables, date(now))?;
            state.store = tables;
            Ok(result)
        };
        self.0.call(Call::write(name), effect, |kind| trouble(kind).into()).await
    }
}

#[async_trait]
impl Store for SimStore {
    async fn create_cluster(&self, new: &NewCluster) -> Result<(), SubmitError> {
        let new = new.clone();
        self.submit("create_cluster", move |tables, now| tables.create_cluster(&new, now)).await
    }

    async fn delete_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
    ) -> Result<DeleteSubmitted, SubmitError> {
        let (project, task) = (project.clone(), task.clone());
        self.submit("delete_cluster", move |tables, now| tables.delete_cluster(&project, cluster, &task, now)).await
    }

    async fn grow_cluster(&self, growth: &Growth) -> Result<(Cluster, Vec<Instance>), SubmitError> {
        let growth = growth.clone();
        self.submit("grow_cluster", move |tables, now| tables.grow_cluster(&growth, now)).await
    }

    async fn shrink_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), SubmitError> {
        let (project, task, answer) = (project.clone(), task.clone(), answer.cloned());
        self.submit("shrink_cluster", move |tables, now| {
            tables.shrink_cluster(&project, cluster, &task, answer.as_ref(), now)
        })
        .await
    }

    async fn waive_verdict(&self, task: TaskId) -> Result<Option<Verdict>, StoreError> {
        self.write(Call::write("waive_verdict"), move |tables, _| Ok(tables.waive_verdict(task))).await
    }

    async fn removed_nodes(&self, cluster: Option<ClusterId>) -> Result<Vec<RemovedNode>, StoreError> {
        self.read("removed_nodes", move |tables| tables.removed_nodes(cluster)).await
    }

    async fn pay_debts(&self, paid: &[(NodeId, InstanceId)]) -> Result<(), StoreError> {
        let paid = paid.to_vec();
        self.write(Call::write("pay_debts"), move |tables, now| {
            tables.pay_debts(&paid, now);
            Ok(())
        })
        .await
    }

    async fn owe_again(&self, node: NodeId, debtors: &[InstanceId]) -> Result<(), StoreError> {
        let debtors = debtors.to_vec();
        self.write(Call::write("owe_again"), move |tables, now| {
            tables.owe_again(node, &debtors, now);
            Ok(())
        })
        .await
    }

    async fn drop_removed_node(&self, node: NodeId, paid: Option<Timestamp>) -> Result<bool, StoreError> {
        self.write(Call::write("drop_removed_node"), move |tables, _| Ok(tables.drop_removed_node(node, paid))).await
    }

    async fn reset_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        answer: Option<&KeptAnswer>,
    ) -> Result<Option<TaskId>, SubmitError> {
        let (project, answer) = (project.clone(), answer.cloned());
        self.submit("reset_cluster", move |tables, now| tables.reset_cluster(&project, cluster, answer.as_ref(), now))
            .await
    }

    async fn cluster(&self, id: ClusterId) -> Result<Option<(Cluster, Vec<Instance>)>, StoreError> {
        self.read("cluster", move |tables| tables.cluster(id)).await
    }

    async fn clusters(
        &self,
        project: &ProjectId,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Vec<Instance>)>, StoreError> {
        let project = project.clone();
        self.read("clusters", move |tables| tables.clusters(&project, after, limit)).await
    }

    async fn claimable(&self, limit: u32) -> Result<Vec<TaskId>, StoreError> {
        self.read_at("claimable", move |tables, now| tables.claimable(limit, now)).await
    }

    async fn next_claimable(&self) -> Result<Option<Duration>, StoreError> {
        self.read_at("next_claimable", |tables, now| tables.next_claimable(now)).await
    }

    async fn claim(&self, task: TaskId, owner: &str, length: Duration) -> Result<Option<Claimed>, StoreError> {
        let readable = self.0.sim.lock().chaos.is_readable(task);
        let owner = owner.to_owned();
        self.write(Call::write("claim"), move |tables, now| {
            if !readable {
                return Err(StoreError::Corrupt { what: "kind", value: "simulated".to_owned() });
            }
            Ok(tables.claim(task, &owner, length, now))
        })
        .await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<(), StoreError> {
        let held = lease.clone();
        self.write(Call::held("renew", lease), move |tables, now| tables.renew(&held, length, now)).await
    }

    async fn release(&self, lease: &Lease, pause: Duration) -> Result<(), StoreError> {
        let held = lease.clone();
        self.write(Call::held("release", lease), move |tables, now| tables.release(&held, pause, now)).await
    }

    async fn expire_leases_of(&self, owner: &str) -> Result<u64, StoreError> {
        let owner = owner.to_owned();
        self.write(Call::write("expire_leases_of"), move |tables, _| Ok(tables.expire_leases_of(&owner))).await
    }

    async fn raise_token(&self, lease: &Lease, seen: u64) -> Result<Lease, StoreError> {
        let held = lease.clone();
        self.write(Call::held("raise_token", lease), move |tables, _| tables.raise_token(&held, seen)).await
    }

    async fn record(&self, lease: &Lease, record: &Record) -> Result<(), StoreError> {
        let (held, record) = (lease.clone(), record.clone());
        self.write(Call::held("record", lease), move |tables, now| tables.record(&held, &record, now)).await
    }

    async fn finish(&self, lease: &Lease, ending: &Ending) -> Result<(), StoreError> {
        let (held, ending) = (lease.clone(), ending.clone());
        self.write(Call::held("finish", lease), move |tables, now| tables.finish(&held, &ending, now)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.read("task", move |tables| tables.task(id)).await
    }

    async fn tasks(&self, cluster: Option<ClusterId>, limit: u32) -> Result<Vec<Task>, StoreError> {
        self.read("tasks", move |tables| tables.tasks(cluster, limit)).await
    }

    async fn steps(&self, task: TaskId) -> Result<Vec<StepRecord>, StoreError> {
        self.read("steps", move |tables| tables.steps(task)).await
    }

    async fn datastores(&self) -> Result<Vec<Datastore>, StoreError> {
        self.read("datastores", Tables::datastores).await
    }

    async fn add_version(&self, new: &NewVersion) -> Result<bool, StoreError> {
        let new = new.clone();
        self.write(Call::write("add_version"), move |tables, _| Ok(tables.add_version(&new))).await
    }

    async fn version(&self, id: DatastoreVersionId) -> Result<Option<DatastoreVersion>, StoreError> {
        self.read("version", move |tables| tables.version(id)).await
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, StoreError> {
        self.read("flavors", Tables::flavors).await
    }

    async fn put_flavors(&self, flavors: &[Flavor]) -> Result<(), StoreError> {
        let flavors = flavors.to_vec();
        self.write(Call::write("put_flavors"), move |tables, _| {
            tables.put_flavors(&flavors);
            Ok(())
        })
        .await
    }

    async fn take_monitor(&self, owner: &str, length: Duration) -> Result<bool, StoreError> {
        let owner = owner.to_owned();
        self.write(Call::write("take_monitor"), move |tables, now| Ok(tables.take_monitor(&owner, length, now))).await
    }

    async fn complete_instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.read("complete_instances", Tables::complete_instances).await
    }

    async fn put_heard(&self, heard: &[(InstanceId, Heard)]) -> Result<(), StoreError> {
        let heard = heard.to_vec();
        self.write(Call::write("put_heard"), move |tables, _| {
            tables.put_heard(&heard);
            Ok(())
        })
        .await
    }

    async fn deleted_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
        let ids = ids.to_vec();
        self.read("deleted_among", move |tables| tables.deleted_among(&ids)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read_at("now", |_, now| now).await
    }

    async fn usages(&self, project: &ProjectId) -> Result<Vec<Usage>, StoreError> {
        let project = project.clone();
        self.read("usages", move |tables| tables.usages(&project)).await
    }

    async fn put_limits(
        &self,
        project: &ProjectId,
        limits: &BTreeMap<Resource, Option<i64>>,
    ) -> Result<(), StoreError> {
        let (project, limits) = (project.clone(), limits.clone());
        self.write(Call::write("put_limits"), move |tables, _| {
            tables.put_limits(&project, &limits);
            Ok(())
        })
        .await
    }

    async fn answer(&self, id: &str) -> Result<Option<KeptAnswer>, StoreError> {
        let id = id.to_owned();
        self.read_at("answer", move |tables, now| tables.answer(&id, now)).await
    }

    async fn settle_answer(&self, id: &str, status: u16, body: &str) -> Result<(), StoreError> {
        let (id, body) = (id.to_owned(), body.to_owned());
        self.write(Call::write("settle_answer"), move |tables, _| {
            tables.settle_answer(&id, status, &body);
            Ok(())
        })
        .await
    }

    async fn operator_clusters(
        &self,
        deleted: Option<bool>,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<OperatorCluster>, StoreError> {
        self.read("operator_clusters", move |tables| tables.operator_clusters(deleted, after, limit)).await
    }

    async fn operator_cluster(&self, id: ClusterId) -> Result<Option<OperatorCluster>, StoreError> {
        self.read("operator_cluster", move |tables| tables.operator_cluster(id)).await
    }
}
