//! What a runner writes: entries of the step log, and the end of a task. Each is one transaction behind the fence.

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, InstanceId, TaskId};
use redtrove_engine::ports::{Change, EndedStep, Ending, Lease, Outcome, Record, Resource, StoreError};
use redtrove_engine::task::{TaskState, Verdict};

use crate::backend::{Backend, SqlStore, cut, printed, values, whole};
use crate::debts::{forgive, leave, lock_cluster, pay};
use crate::rows;
use crate::session::Tx;
use crate::submit::PRESENT;
use crate::tasks::{fence, held};

const PROGRESS: &str =
    concat!("UPDATE tasks SET step = COALESCE(?, step), progress = COALESCE(?, progress) WHERE ", fence!());

const END_STEP: &str = "UPDATE task_steps SET outcome = ?, error = ?, ended = ? \
    WHERE task_id = ? AND seq = ? AND outcome IS NULL";

const SET_ADDRESS: &str = "UPDATE instances SET ip = ?, updated = ? WHERE id = ? AND cluster_id = ?";

const SET_NODE: &str = "UPDATE instances SET node_id = ?, updated = ? WHERE id = ? AND cluster_id = ?";

/// Matches once in an instance's life, which is what frees its quota once.
const SET_GONE: &str = "UPDATE instances SET lifecycle = 'deleted', deleted_at = ?, updated = ? \
    WHERE id = ? AND cluster_id = ? AND lifecycle <> 'deleted'";

/// The cluster of an instance that it left behind when it was deleted.
const LEFT_BEHIND_BY: &str = "SELECT i.cluster_id AS cluster_id FROM instances i JOIN clusters c ON c.id = i.cluster_id \
    WHERE i.id = ? AND i.lifecycle <> 'deleted' AND c.deleted = 1";

const VOLUME: &str = "SELECT volume_gb FROM instances WHERE id = ?";

const PROJECT: &str = "SELECT project_id FROM clusters WHERE id = ?";

const LOWER_USAGE: &str = "UPDATE quota_usages SET in_use = in_use - ? WHERE project_id = ? AND resource = ?";

const FREE_CLUSTER: &str = "UPDATE clusters SET task = ?, operation = NULL, \
    fault = CASE WHEN ? = 1 THEN fault ELSE ? END, updated = ?, deleted = ?, deleted_at = ? \
    WHERE id = ? AND operation = ?";

/// Somebody waits for the verdict of the task at `?`.
const IS_AWAITED: &str = "SELECT id FROM tasks WHERE id = ? AND verdict IS NULL AND verdict_by >= ?";

const SET_VERDICT: &str = "UPDATE tasks SET verdict = ? WHERE id = ?";

const END_TASK: &str = concat!(
    "UPDATE tasks SET state = ?, fault = ?, ended = ?, lease_owner = NULL, lease_expires_at = NULL WHERE ",
    fence!()
);

/// How a task ended under this token.
const ENDED: &str = "SELECT state, fault FROM tasks WHERE id = ? AND lease_token = ?";

const MOVE_INSTANCE: &str =
    "UPDATE instances SET lifecycle = ?, updated = ? WHERE id = ? AND cluster_id = ? AND lifecycle = ?";

const SET_FAULT: &str = "UPDATE instances SET fault = ?, updated = ? WHERE id = ? AND cluster_id = ?";

/// What becomes free in a transaction: instances, and GB of their volumes.
type Freed = [i64; 2];

impl<B: Backend> SqlStore<B> {
    /// See `Store::record`.
    pub(crate) async fn write_record(&self, lease: &Lease, record: &Record) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if record.changes.iter().any(needs_cluster) {
            lock_cluster(&mut tx, lease.cluster).await?;
        }
        let (step, sentence) = match &record.progress {
            Some((step, sentence)) => (Some(*step), Some(cut(sentence))),
            None => (None, None),
        };
        let fenced = values![step, sentence, printed(lease.task), whole(lease.token)?];
        held(tx.execute(PROGRESS, fenced).await?)?;
        end_steps(&mut tx, lease.task, &record.ended).await?;
        let mut freed = Freed::default();
        for change in &record.changes {
            write_change(&mut tx, lease, change, &mut freed).await?;
        }
        for step in &record.begun {
            // A record whose answer was lost may come again; its steps are there then.
            let values = values![printed(lease.task), whole(step.seq)?, step.name, step.subject.map(printed), step.at];
            tx.execute(B::KEEP_STEP, values).await?;
        }
        lower_usages(&mut tx, lease.cluster, freed).await?;
        tx.commit().await
    }

    /// See `Store::finish`.
    pub(crate) async fn write_ending(&self, lease: &Lease, ending: &Ending) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let now = tx.now;
        // The cluster before the task, as a delete that takes it over locks them.
        lock_cluster(&mut tx, lease.cluster).await?;
        let (state, fault) = end_of(ending);
        let task = values![state.name(), fault, now, printed(lease.task), whole(lease.token)?];
        held(tx.execute(END_TASK, task).await?)?;
        let refused = matches!(ending.outcome, Outcome::Refused(_));
        let told = refused && refuse(&mut tx, lease.task).await?;
        let (free, gone) = (ClusterTask::None.name(), ending.cluster_deleted);
        let deleted = gone.then_some(now);
        let cluster = values![free, told, fault, now, gone, deleted, printed(lease.cluster), printed(lease.task)];
        held(tx.execute(FREE_CLUSTER, cluster).await?)?;
        end_steps(&mut tx, lease.task, &ending.ended).await?;
        let mut freed = Freed::default();
        for (instance, next) in &ending.lifecycles {
            move_instance(&mut tx, lease.cluster, *instance, *next, &mut freed).await?;
        }
        for (instance, reason) in &ending.faults {
            let values = values![cut(reason), now, printed(*instance), printed(lease.cluster)];
            tx.execute(SET_FAULT, values).await?;
        }
        if gone {
            for row in tx.rows(PRESENT, values![printed(lease.cluster)]).await? {
                let instance = rows::parsed(&row, "id")?;
                set_gone(&mut tx, lease.cluster, instance, &mut freed).await?;
            }
        }
        lower_usages(&mut tx, lease.cluster, freed).await?;
        tx.commit().await
    }

    /// Whether the task has ended so, by an earlier run of what writes that.
    pub(crate) async fn find_ending(&self, lease: &Lease, ending: &Ending) -> Result<Option<()>, StoreError> {
        let Some(row) = self.row(ENDED, values![printed(lease.task), whole(lease.token)?]).await? else {
            return Ok(None);
        };
        let (state, fault) = end_of(ending);
        let same = rows::parsed::<TaskState>(&row, "state")? == state && rows::text(&row, "fault")?.as_deref() == fault;
        Ok(same.then_some(()))
    }
}

/// The state of a task that ended so, and what is kept of its fault.
fn end_of(ending: &Ending) -> (TaskState, Option<&str>) {
    match &ending.outcome {
        Outcome::Succeeded => (TaskState::Succeeded, None),
        Outcome::Failed(fault) | Outcome::Refused(fault) => (TaskState::Failed, Some(cut(&fault.message))),
    }
}

/// Whether a change is written under the lock of the cluster: what has to do with debts.
fn needs_cluster(change: &Change) -> bool {
    matches!(change, Change::Gone { .. } | Change::Left { .. } | Change::Forgotten { .. })
}

/// Refuses what the task was asked for. True if somebody waits for that: whoever has been told that it is accepted, or
/// has stopped waiting, finds the reason on the cluster.
async fn refuse<B: Backend>(tx: &mut Tx<B>, task: TaskId) -> Result<bool, StoreError> {
    let awaited = tx.one(IS_AWAITED, values![printed(task), tx.now]).await?.is_some();
    tx.execute(SET_VERDICT, values![Verdict::Refused.name(), printed(task)]).await?;
    Ok(awaited)
}

async fn end_steps<B: Backend>(tx: &mut Tx<B>, task: TaskId, ended: &[EndedStep]) -> Result<(), StoreError> {
    for step in ended {
        let error = step.error.as_deref().map(cut);
        let values = values![step.outcome.name(), error, step.at, printed(task), whole(step.seq)?];
        tx.execute(END_STEP, values).await?;
    }
    Ok(())
}

async fn write_change<B: Backend>(
    tx: &mut Tx<B>,
    lease: &Lease,
    change: &Change,
    freed: &mut Freed,
) -> Result<(), StoreError> {
    let (now, cluster) = (tx.now, lease.cluster);
    match change {
        Change::Address { instance, ip } => {
            tx.execute(SET_ADDRESS, values![ip.as_str(), now, printed(*instance), printed(cluster)]).await?;
        }
        Change::Node { instance, node } => {
            tx.execute(SET_NODE, values![node.as_str(), now, printed(*instance), printed(cluster)]).await?;
        }
        Change::Gone { instance } => set_gone(tx, cluster, *instance, freed).await?,
        Change::Accepted => {
            tx.execute(SET_VERDICT, values![Verdict::Accepted.name(), printed(lease.task)]).await?;
        }
        Change::Left { instance } => leave(tx, cluster, *instance).await?,
        Change::Forgotten { instance, node } => pay(tx, &[(*node, *instance)]).await?,
    }
    Ok(())
}

/// Moves an instance on, if its state allows that.
async fn move_instance<B: Backend>(
    tx: &mut Tx<B>,
    cluster: ClusterId,
    instance: InstanceId,
    next: Lifecycle,
    freed: &mut Freed,
) -> Result<(), StoreError> {
    if next == Lifecycle::Deleted {
        return set_gone(tx, cluster, instance, freed).await;
    }
    for state in Lifecycle::ALL.into_iter().filter(|state| state.may_become(next)) {
        let values = values![next.name(), tx.now, printed(instance), printed(cluster), state.name()];
        tx.execute(MOVE_INSTANCE, values).await?;
    }
    Ok(())
}

async fn set_gone<B: Backend>(
    tx: &mut Tx<B>,
    cluster: ClusterId,
    instance: InstanceId,
    freed: &mut Freed,
) -> Result<(), StoreError> {
    let now = tx.now;
    if tx.execute(SET_GONE, values![now, now, printed(instance), printed(cluster)]).await? > 0 {
        let row = rows::present(tx.one(VOLUME, values![printed(instance)]).await?, "instance")?;
        freed[0] += 1;
        freed[1] += rows::number::<i64>(&row, "volume_gb")?;
        forgive(tx, instance).await?;
    }
    Ok(())
}

/// An instance that a deleted cluster left behind is gone; false if it is none: see `Amendment::Bury`.
pub(crate) async fn bury<B: Backend>(tx: &mut Tx<B>, instance: InstanceId) -> Result<bool, StoreError> {
    let Some(row) = tx.one(LEFT_BEHIND_BY, values![printed(instance)]).await? else { return Ok(false) };
    let cluster = rows::parsed(&row, "cluster_id")?;
    lock_cluster(tx, cluster).await?;
    let mut freed = Freed::default();
    set_gone(tx, cluster, instance, &mut freed).await?;
    lower_usages(tx, cluster, freed).await?;
    Ok(freed != Freed::default())
}

async fn lower_usages<B: Backend>(tx: &mut Tx<B>, cluster: ClusterId, freed: Freed) -> Result<(), StoreError> {
    if freed == Freed::default() {
        return Ok(());
    }
    let row = rows::present(tx.one(PROJECT, values![printed(cluster)]).await?, "cluster")?;
    let project = rows::text(&row, "project_id")?;
    for (resource, amount) in Resource::ALL.into_iter().zip(freed) {
        tx.execute(LOWER_USAGE, values![amount, project.clone(), resource.name()]).await?;
    }
    Ok(())
}
