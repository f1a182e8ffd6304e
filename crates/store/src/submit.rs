//! Submissions: a cluster to be made, grown, shrunk or deleted. Each is one transaction.

mod grow;
mod shrink;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, InstanceId, ProjectId};
use redtrove_engine::ports::{DeleteSubmitted, Limits, NewCluster, NewInstance, NewTask, StoreError, SubmitError};
use redtrove_engine::task::TaskState;

use crate::backend::{Backend, SqlStore, Tx, Value, printed, values, whole};
use crate::debts::lock_cluster;
use crate::rows::{self, Params};

/// What is counted: the names in the database and in faults, sorted.
pub(crate) const RESOURCES: [&str; 2] = ["instances", "volumes"];

/// The longest trace context that is kept; those of the W3C's version 00 have 55 characters.
const LONGEST_TRACEPARENT: usize = 255;

/// Raises a usage if that keeps it within the limit: `in_use <= limit - amount` cannot overflow.
const RAISE_USAGE: &str = "UPDATE quota_usages SET in_use = in_use + ? \
    WHERE project_id = ? AND resource = ? AND in_use <= ?";

const INSERT_CLUSTER: &str = "INSERT INTO clusters \
    (id, project_id, name, task, operation, version_id, lease_token, created, updated, deleted) \
    VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, 0)";

const INSERT_INSTANCE: &str = "INSERT INTO instances \
    (id, cluster_id, name, number, flavor_id, ram_mb, volume_gb, lifecycle, first_slot, last_slot, redis, held_failed, \
    created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'unknown', 0, ?, ?)";

const INSERT_TASK: &str = "INSERT INTO tasks \
    (id, cluster_id, kind, params, state, verdict_by, attempt, not_before, deadline, lease_token, request_id, \
    traceparent, created) VALUES (?, ?, ?, ?, 'pending', ?, 0, ?, ?, 0, ?, ?, ?)";

const BEGIN_OPERATION: &str = "UPDATE clusters SET task = ?, operation = ?, updated = ? \
    WHERE id = ? AND project_id = ? AND deleted = 0 AND task = ?";

const FIND_TASK: &str = "SELECT task FROM clusters WHERE id = ? AND project_id = ? AND deleted = 0";

/// The instances of a cluster that are not deleted.
pub(crate) const PRESENT: &str = "SELECT id FROM instances WHERE cluster_id = ? AND lifecycle <> 'deleted'";

const BEGIN_DELETE: &str = "UPDATE clusters SET task = ?, operation = ?, updated = ? \
    WHERE id = ? AND project_id = ? AND deleted = 0 AND task <> ?";

const FIND_DELETE: &str = "SELECT operation FROM clusters WHERE id = ? AND project_id = ? AND deleted = 0";

const SUPERSEDE_TASKS: &str = "UPDATE tasks SET state = ?, fault = ?, ended = ?, lease_owner = NULL, \
    lease_expires_at = NULL WHERE cluster_id = ? AND state IN ('pending', 'running')";

const DELETE_INSTANCES: &str = "UPDATE instances SET lifecycle = ?, updated = ? \
    WHERE cluster_id = ? AND lifecycle IN ('building', 'complete')";

impl<B: Backend> SqlStore<B> {
    /// See `Store::create_cluster`.
    pub(crate) async fn insert_cluster(&self, new: &NewCluster) -> Result<(), SubmitError> {
        let mut tx = self.begin().await?;
        let over = raise_usages(&mut tx, &new.project, new.limits, &new.instances).await?;
        if !over.is_empty() {
            return Err(SubmitError::Quota(over));
        }
        let now = tx.now;
        let cluster = values![
            printed(new.id),
            new.project.as_str(),
            new.name.as_str(),
            new.task.kind.cluster_task().name(),
            printed(new.task.id),
            printed(new.version),
            now,
            now,
        ];
        tx.execute(INSERT_CLUSTER, cluster).await?;
        for instance in &new.instances {
            insert_instance(&mut tx, new.id, instance).await?;
        }
        insert_task(&mut tx, new.id, &new.task).await?;
        Ok(tx.commit().await?)
    }

    /// See `Store::delete_cluster`.
    pub(crate) async fn take_over(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
    ) -> Result<DeleteSubmitted, SubmitError> {
        let mut tx = self.begin().await?;
        let (now, deleting) = (tx.now, ClusterTask::Deleting.name());
        let taken = values![deleting, printed(task.id), now, printed(cluster), project.as_str(), deleting];
        if tx.execute(BEGIN_DELETE, taken).await? == 0 {
            let row = tx.one(FIND_DELETE, values![printed(cluster), project.as_str()]).await?;
            let row = row.ok_or(SubmitError::NotFound)?;
            return Ok(DeleteSubmitted::UnderWay(rows::parsed(&row, "operation")?));
        }
        let superseded = values![TaskState::Failed.name(), "superseded by a delete", now, printed(cluster)];
        tx.execute(SUPERSEDE_TASKS, superseded).await?;
        tx.execute(DELETE_INSTANCES, values![Lifecycle::Deleting.name(), now, printed(cluster)]).await?;
        insert_task(&mut tx, cluster, task).await?;
        tx.commit().await?;
        Ok(DeleteSubmitted::Taken)
    }
}

/// Has a cluster that is busy with nothing begin an operation.
async fn begin_operation<B: Backend>(
    tx: &mut Tx<B>,
    project: &ProjectId,
    cluster: ClusterId,
    task: &NewTask,
) -> Result<(), SubmitError> {
    // What is refused is looked at a second time, and must not have changed by then.
    lock_cluster(tx, cluster).await?;
    let (busy, free) = (task.kind.cluster_task().name(), ClusterTask::None.name());
    let begun = values![busy, printed(task.id), tx.now, printed(cluster), project.as_str(), free];
    if tx.execute(BEGIN_OPERATION, begun).await? > 0 {
        return Ok(());
    }
    let row = tx.one(FIND_TASK, values![printed(cluster), project.as_str()]).await?;
    Err(SubmitError::Busy(rows::parsed(&row.ok_or(SubmitError::NotFound)?, "task")?))
}

/// Raises the project's usages by what the instances need; the resources for which that is too much.
async fn raise_usages<B: Backend>(
    tx: &mut Tx<B>,
    project: &ProjectId,
    limits: Limits,
    instances: &[NewInstance],
) -> Result<Vec<&'static str>, StoreError> {
    let volumes = instances.iter().fold(0_u64, |sum, instance| sum.saturating_add(instance.volume_gb));
    let amounts = [i64::try_from(instances.len()).ok(), i64::try_from(volumes).ok()];
    let mut over = Vec::new();
    for ((resource, limit), amount) in RESOURCES.into_iter().zip([limits.instances, limits.volumes_gb]).zip(amounts) {
        tx.execute(B::KEEP_USAGE, values![project.as_str(), resource]).await?;
        let limit = if limit < 0 { i64::MAX } else { limit };
        let raised = match amount {
            Some(amount) => {
                tx.execute(RAISE_USAGE, values![amount, project.as_str(), resource, limit - amount]).await?
            }
            None => 0,
        };
        if raised == 0 {
            over.push(resource);
        }
    }
    Ok(over)
}

async fn insert_instance<B: Backend>(tx: &mut Tx<B>, cluster: ClusterId, new: &NewInstance) -> Result<(), StoreError> {
    let values = values![
        printed(new.id),
        printed(cluster),
        new.name.as_str(),
        new.number,
        new.flavor_id.as_str(),
        whole(new.ram_mb)?,
        whole(new.volume_gb)?,
        Lifecycle::Building.name(),
        new.planned_slots.map(|slots| i64::from(slots.first())),
        new.planned_slots.map(|slots| i64::from(slots.last())),
        tx.now,
        tx.now,
    ];
    tx.execute(INSERT_INSTANCE, values).await?;
    Ok(())
}

async fn insert_task<B: Backend>(tx: &mut Tx<B>, cluster: ClusterId, new: &NewTask) -> Result<(), StoreError> {
    let traceparent = new.traceparent.as_deref().filter(|text| text.len() <= LONGEST_TRACEPARENT);
    let values: Vec<Value> = values![
        printed(new.id),
        printed(cluster),
        new.kind.name(),
        params(&new.members)?,
        new.verdict_within.map(|wait| tx.now.after(wait)),
        tx.now,
        tx.now.after(new.time_limit),
        new.request.as_str(),
        traceparent,
        tx.now,
    ];
    tx.execute(INSERT_TASK, values).await?;
    Ok(())
}

fn params(members: &[InstanceId]) -> Result<Option<String>, StoreError> {
    if members.is_empty() {
        return Ok(None);
    }
    let params = serde_json::to_string(&Params { members: members.to_vec() });
    params.map(Some).map_err(|error| StoreError::Broken(error.into()))
}
