//! Submissions: a cluster to be made, grown, shrunk or deleted. Each is one transaction.

mod grow;
mod shrink;

use std::sync::OnceLock;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, InstanceId, ProjectId, TaskId, Timestamp};
use redtrove_engine::ports::{
    DeleteSubmitted, ENDED_BY_RESET, KeptAnswer, NewCluster, NewInstance, NewTask, StoreError, SubmitError,
};
use redtrove_engine::task::TaskState;
use sqlx::AssertSqlSafe;

use crate::answers::keep_answer;
use crate::backend::{Backend, SqlStore, Value, printed, values, whole};
use crate::debts::lock_cluster;
use crate::quota::raise_usages;
use crate::rows::{self, Params};
use crate::session::Tx;

/// The longest trace context that is kept; those of the W3C's version 00 have 55 characters.
const LONGEST_TRACEPARENT: usize = 255;

const INSERT_CLUSTER: &str = "INSERT INTO clusters \
    (id, project_id, name, task, operation, version_id, locality, lease_token, created, updated, deleted) \
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, 0)";

/// One statement for many: `VALUES` and then a [`ROW`] for each.
const INSERT_INSTANCES: &str = "INSERT INTO instances \
    (id, cluster_id, name, number, flavor_id, ram_mb, volume_gb, placement, lifecycle, first_slot, last_slot, redis, \
    held_failed, created, updated) VALUES ";
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'unknown', 0, ?, ?)";
/// The most rows of one statement: connections keep the statements that they have run.
const MOST_ROWS: usize = 100;

const INSERT_TASK: &str = "INSERT INTO tasks \
    (id, cluster_id, kind, params, state, verdict_by, attempt, not_before, deadline, lease_token, request_id, \
    traceparent, created) VALUES (?, ?, ?, ?, 'pending', ?, 0, ?, ?, 0, ?, ?, ?)";

const TASK_THERE: &str = "SELECT id FROM tasks WHERE id = ?";

const BEGIN_OPERATION: &str = "UPDATE clusters SET task = ?, operation = ?, updated = ? \
    WHERE id = ? AND project_id = ? AND deleted = 0 AND task = ?";

const FIND_TASK: &str = "SELECT task FROM clusters WHERE id = ? AND project_id = ? AND deleted = 0";

/// The instances of a cluster that are not deleted.
pub(crate) const PRESENT: &str = "SELECT id FROM instances WHERE cluster_id = ? AND lifecycle <> 'deleted'";

const BEGIN_DELETE: &str = "UPDATE clusters SET task = ?, operation = ?, updated = ? \
    WHERE id = ? AND project_id = ? AND deleted = 0 AND task <> ?";

const FIND_OPERATION: &str = "SELECT operation FROM clusters WHERE id = ? AND project_id = ? AND deleted = 0";

const HOLD_CLUSTER: &str = "UPDATE clusters SET task = task WHERE id = ? AND project_id = ? AND deleted = 0";

const RESET_CLUSTER: &str = "UPDATE clusters SET task = ?, operation = NULL, fault = ?, updated = ? WHERE id = ?";

/// The members that an operation leaves half made. One that has a fault keeps it.
pub(crate) const BLAME_BUILDING: &str = "UPDATE instances SET fault = ?, updated = ? \
    WHERE cluster_id = ? AND lifecycle = 'building' AND fault IS NULL";

const SUPERSEDE_TASKS: &str = "UPDATE tasks SET state = ?, fault = ?, ended = ?, lease_owner = NULL, \
    lease_expires_at = NULL WHERE cluster_id = ? AND state IN ('pending', 'running')";

const DELETE_INSTANCES: &str = "UPDATE instances SET lifecycle = ?, updated = ? \
    WHERE cluster_id = ? AND lifecycle IN ('building', 'complete')";

impl<B: Backend> SqlStore<B> {
    /// See `Store::create_cluster`.
    pub(crate) async fn insert_cluster(&self, new: &NewCluster) -> Result<(), SubmitError> {
        let mut tx = self.begin().await?;
        keep_answer(&mut tx, new.answer.as_ref()).await?;
        let over = raise_usages(&mut tx, &new.project, new.limits, &new.instances).await?;
        if !over.is_empty() {
            return Err(SubmitError::Quota(over));
        }
        let cluster = values![
            printed(new.id),
            new.project.as_str(),
            new.name.as_str(),
            new.task.kind.cluster_task().name(),
            printed(new.task.id),
            printed(new.version),
            new.locality.map(printed),
            new.created,
            new.created,
        ];
        tx.execute(INSERT_CLUSTER, cluster).await?;
        insert_instances(&mut tx, new.id, &new.instances, new.created).await?;
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
            let row = tx.one(FIND_OPERATION, values![printed(cluster), project.as_str()]).await?;
            let row = row.ok_or(SubmitError::NotFound)?;
            let under_way: TaskId = rows::parsed(&row, "operation")?;
            // It is this very one if the answer to its COMMIT was lost.
            let ours = under_way == task.id;
            return Ok(if ours { DeleteSubmitted::Taken } else { DeleteSubmitted::UnderWay(under_way) });
        }
        supersede(&mut tx, cluster, "superseded by a delete").await?;
        tx.execute(DELETE_INSTANCES, values![Lifecycle::Deleting.name(), now, printed(cluster)]).await?;
        insert_task(&mut tx, cluster, task).await?;
        tx.commit().await?;
        Ok(DeleteSubmitted::Taken)
    }

    /// Whether a submission was taken, by the id of its task.
    pub(crate) async fn find_task(&self, task: TaskId) -> Result<Option<()>, StoreError> {
        Ok(self.row(TASK_THERE, values![printed(task)]).await?.map(drop))
    }

    /// Whether a delete was taken, by the id of its task.
    pub(crate) async fn find_delete(&self, task: TaskId) -> Result<Option<DeleteSubmitted>, StoreError> {
        Ok(self.find_task(task).await?.map(|()| DeleteSubmitted::Taken))
    }

    /// See `Store::reset_cluster`. What the first run found is `meant`: if it was carried out, a later one must not end
    /// the operation that was begun since.
    pub(crate) async fn end_operation(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        answer: Option<&KeptAnswer>,
        meant: &OnceLock<Option<TaskId>>,
    ) -> Result<Option<TaskId>, SubmitError> {
        let mut tx = self.begin().await?;
        keep_answer(&mut tx, answer).await?;
        let (now, free) = (tx.now, ClusterTask::None.name());
        // The row is held before it is read, so that the operation read is the one that is ended.
        let ours = || values![printed(cluster), project.as_str()];
        if tx.execute(HOLD_CLUSTER, ours()).await? == 0 {
            // Or it was deleted since.
            return meant.get().copied().ok_or(SubmitError::NotFound);
        }
        let row = rows::present(tx.one(FIND_OPERATION, ours()).await?, "cluster")?;
        let operation = rows::parsed_or_null(&row, "operation")?;
        let meant = *meant.get_or_init(|| operation);
        if meant.is_some() && meant == operation {
            tx.execute(RESET_CLUSTER, values![free, ENDED_BY_RESET, now, printed(cluster)]).await?;
            supersede(&mut tx, cluster, "superseded by a reset").await?;
            tx.execute(BLAME_BUILDING, values![ENDED_BY_RESET, now, printed(cluster)]).await?;
        }
        tx.commit().await?;
        Ok(meant)
    }

    /// Whether a reset with an answer to be kept was taken, and what it ended.
    pub(crate) async fn find_reset(
        &self,
        answer: Option<&KeptAnswer>,
        meant: &OnceLock<Option<TaskId>>,
    ) -> Result<Option<Option<TaskId>>, StoreError> {
        let Some(answer) = answer else { return Ok(None) };
        let kept = self.read_answer(&answer.key.id).await?;
        Ok((kept.as_ref() == Some(answer)).then(|| meant.get().copied().flatten()))
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

/// Ends what runs on a cluster, which the transaction holds.
async fn supersede<B: Backend>(tx: &mut Tx<B>, cluster: ClusterId, why: &str) -> Result<(), StoreError> {
    let superseded = values![TaskState::Failed.name(), why, tx.now, printed(cluster)];
    tx.execute(SUPERSEDE_TASKS, superseded).await?;
    Ok(())
}

async fn insert_instances<B: Backend>(
    tx: &mut Tx<B>,
    cluster: ClusterId,
    new: &[NewInstance],
    created: Timestamp,
) -> Result<(), StoreError> {
    for part in new.chunks(MOST_ROWS) {
        let mut values = Vec::new();
        for instance in part {
            values.extend(instance_values(cluster, instance, created)?);
        }
        // Nothing but places for values is put together here.
        let sql = AssertSqlSafe(INSERT_INSTANCES.to_owned() + &vec![ROW; part.len()].join(", "));
        tx.execute(sql, values).await?;
    }
    Ok(())
}

fn instance_values(cluster: ClusterId, new: &NewInstance, created: Timestamp) -> Result<Vec<Value>, StoreError> {
    let asked = (!new.placement.is_empty()).then(|| serde_json::to_string(&new.placement)).transpose();
    Ok(values![
        printed(new.id),
        printed(cluster),
        new.name.as_str(),
        new.number,
        new.flavor_id.as_str(),
        whole(new.ram_mb)?,
        whole(new.volume_gb)?,
        asked.map_err(|error| StoreError::Broken(error.into()))?,
        Lifecycle::Building.name(),
        new.planned_slots.map(|slots| i64::from(slots.first())),
        new.planned_slots.map(|slots| i64::from(slots.last())),
        created,
        created,
    ])
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
