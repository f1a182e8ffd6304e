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
pub(super) use tables::Tables;

use super::chaos::Trouble;
use super::clock::date;
use super::{Incarnation, State};
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

fn fail<T>(kind: Trouble) -> Result<T, StoreError> {
    Err(trouble(kind))
}

fn refuse<T>(kind: Trouble) -> Result<T, SubmitError> {
    Err(trouble(kind).into())
}

impl SimStore {
    async fn read<T>(&self, name: &'static str, read: impl Fn(&Tables) -> T) -> Result<T, StoreError> {
        self.read_at(name, |tables, _| read(tables)).await
    }

    async fn read_at<T>(&self, name: &'static str, read: impl Fn(&Tables, Timestamp) -> T) -> Result<T, StoreError> {
        self.0.call(name, |state: &mut State, now| Ok(read(&state.store, date(now))), fail).await
    }

    /// A transaction: what fails leaves no trace.
    async fn write<T>(
        &self,
        name: &'static str,
        write: impl Fn(&mut Tables, Timestamp) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let effect = |state: &mut State, now| transaction(state, now, &write);
        self.0.call(name, effect, fail).await
    }
}

fn transaction<T, E>(
    state: &mut State,
    now: Duration,
    write: impl Fn(&mut Tables, Timestamp) -> Result<T, E>,
) -> Result<T, E> {
    let mut tables = state.store.clone();
    let result = write(&mut tables, date(now))?;
    state.store = tables;
    Ok(result)
}

#[async_trait]
impl Store for SimStore {
    async fn create_cluster(&self, new: &NewCluster) -> Result<(), SubmitError> {
        let effect = |state: &mut State, now| transaction(state, now, |tables, now| tables.create_cluster(new, now));
        self.0.call("create_cluster", effect, refuse).await
    }

    async fn delete_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
    ) -> Result<DeleteSubmitted, SubmitError> {
        let effect = |state: &mut State, now| {
            transaction(state, now, |tables, now| tables.delete_cluster(project, cluster, task, now))
        };
        self.0.call("delete_cluster", effect, refuse).await
    }

    async fn grow_cluster(&self, growth: &Growth) -> Result<(Cluster, Vec<Instance>), SubmitError> {
        let effect = |state: &mut State, now| transaction(state, now, |tables, now| tables.grow_cluster(growth, now));
        self.0.call("grow_cluster", effect, refuse).await
    }

    async fn shrink_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), SubmitError> {
        let effect = |state: &mut State, now| {
            transaction(state, now, |tables, now| tables.shrink_cluster(project, cluster, task, answer, now))
        };
        self.0.call("shrink_cluster", effect, refuse).await
    }

    async fn waive_verdict(&self, task: TaskId) -> Result<Option<Verdict>, StoreError> {
        self.write("waive_verdict", |tables, _| Ok(tables.waive_verdict(task))).await
    }

    async fn removed_nodes(&self, cluster: Option<ClusterId>) -> Result<Vec<RemovedNode>, StoreError> {
        self.read("removed_nodes", |tables| tables.removed_nodes(cluster)).await
    }

    async fn pay_debts(&self, paid: &[(NodeId, InstanceId)]) -> Result<(), StoreError> {
        self.write("pay_debts", |tables, now| {
            tables.pay_debts(paid, now);
            Ok(())
        })
        .await
    }

    async fn owe_again(&self, node: NodeId, debtors: &[InstanceId]) -> Result<(), StoreError> {
        self.write("owe_again", |tables, _| {
            tables.owe_again(node, debtors);
            Ok(())
        })
        .await
    }

    async fn drop_removed_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.write("drop_removed_node", |tables, _| {
            tables.drop_removed_node(node);
            Ok(())
        })
        .await
    }

    async fn reset_cluster(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        answer: Option<&KeptAnswer>,
    ) -> Result<Option<TaskId>, SubmitError> {
        let effect = |state: &mut State, now| {
            transaction(state, now, |tables, now| tables.reset_cluster(project, cluster, answer, now))
        };
        self.0.call("reset_cluster", effect, refuse).await
    }

    async fn cluster(&self, id: ClusterId) -> Result<Option<(Cluster, Vec<Instance>)>, StoreError> {
        self.read("cluster", |tables| tables.cluster(id)).await
    }

    async fn clusters(
        &self,
        project: &ProjectId,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Vec<Instance>)>, StoreError> {
        self.read("clusters", |tables| tables.clusters(project, after, limit)).await
    }

    async fn claimable(&self, limit: u32) -> Result<Vec<TaskId>, StoreError> {
        self.read_at("claimable", |tables, now| tables.claimable(limit, now)).await
    }

    async fn next_claimable(&self) -> Result<Option<Duration>, StoreError> {
        self.read_at("next_claimable", |tables, now| tables.next_claimable(now)).await
    }

    async fn claim(&self, task: TaskId, owner: &str, length: Duration) -> Result<Option<Claimed>, StoreError> {
        let readable = self.0.sim.lock().chaos.is_readable(task);
        self.write("claim", |tables, now| {
            if !readable {
                return Err(StoreError::Corrupt { what: "kind", value: "simulated".to_owned() });
            }
            Ok(tables.claim(task, owner, length, now))
        })
        .await
    }

    async fn renew(&self, lease: &Lease, length: Duration) -> Result<(), StoreError> {
        self.write("renew", |tables, now| tables.renew(lease, length, now)).await
    }

    async fn release(&self, lease: &Lease, pause: Duration) -> Result<(), StoreError> {
        self.write("release", |tables, now| tables.release(lease, pause, now)).await
    }

    async fn expire_leases_of(&self, owner: &str) -> Result<u64, StoreError> {
        self.write("expire_leases_of", |tables, _| Ok(tables.expire_leases_of(owner))).await
    }

    async fn raise_token(&self, lease: &Lease, seen: u64) -> Result<Lease, StoreError> {
        self.write("raise_token", |tables, _| tables.raise_token(lease, seen)).await
    }

    async fn record(&self, lease: &Lease, record: &Record) -> Result<(), StoreError> {
        self.write("record", |tables, now| tables.record(lease, record, now)).await
    }

    async fn finish(&self, lease: &Lease, ending: &Ending) -> Result<(), StoreError> {
        self.write("finish", |tables, now| tables.finish(lease, ending, now)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.read("task", |tables| tables.task(id)).await
    }

    async fn tasks(&self, cluster: Option<ClusterId>, limit: u32) -> Result<Vec<Task>, StoreError> {
        self.read("tasks", |tables| tables.tasks(cluster, limit)).await
    }

    async fn steps(&self, task: TaskId) -> Result<Vec<StepRecord>, StoreError> {
        self.read("steps", |tables| tables.steps(task)).await
    }

    async fn datastores(&self) -> Result<Vec<Datastore>, StoreError> {
        self.read("datastores", Tables::datastores).await
    }

    async fn add_version(&self, new: &NewVersion) -> Result<bool, StoreError> {
        self.write("add_version", |tables, _| Ok(tables.add_version(new))).await
    }

    async fn version(&self, id: DatastoreVersionId) -> Result<Option<DatastoreVersion>, StoreError> {
        self.read("version", |tables| tables.version(id)).await
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, StoreError> {
        self.read("flavors", Tables::flavors).await
    }

    async fn put_flavors(&self, flavors: &[Flavor]) -> Result<(), StoreError> {
        self.write("put_flavors", |tables, _| {
            tables.put_flavors(flavors);
            Ok(())
        })
        .await
    }

    async fn take_monitor(&self, owner: &str, length: Duration) -> Result<bool, StoreError> {
        self.write("take_monitor", |tables, now| Ok(tables.take_monitor(owner, length, now))).await
    }

    async fn complete_instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.read("complete_instances", Tables::complete_instances).await
    }

    async fn put_heard(&self, heard: &[(InstanceId, Heard)]) -> Result<(), StoreError> {
        self.write("put_heard", |tables, _| {
            tables.put_heard(heard);
            Ok(())
        })
        .await
    }

    async fn deleted_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
        self.read("deleted_among", |tables| tables.deleted_among(ids)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.read_at("now", |_, now| now).await
    }

    async fn usages(&self, project: &ProjectId) -> Result<Vec<Usage>, StoreError> {
        self.read("usages", |tables| tables.usages(project)).await
    }

    async fn put_limits(
        &self,
        project: &ProjectId,
        limits: &BTreeMap<Resource, Option<i64>>,
    ) -> Result<(), StoreError> {
        self.write("put_limits", |tables, _| {
            tables.put_limits(project, limits);
            Ok(())
        })
        .await
    }

    async fn answer(&self, id: &str) -> Result<Option<KeptAnswer>, StoreError> {
        self.read_at("answer", |tables, now| tables.answer(id, now)).await
    }

    async fn settle_answer(&self, id: &str, status: u16, body: &str) -> Result<(), StoreError> {
        self.write("settle_answer", |tables, _| {
            tables.settle_answer(id, status, body);
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
        self.read("operator_clusters", |tables| tables.operator_clusters(deleted, after, limit)).await
    }

    async fn operator_cluster(&self, id: ClusterId) -> Result<Option<OperatorCluster>, StoreError> {
        self.read("operator_cluster", |tables| tables.operator_cluster(id)).await
    }
}
