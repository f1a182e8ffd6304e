//! A cluster to be shrunk, and the verdict on that.

use std::collections::BTreeSet;

use redtrove_core::{ClusterId, InstanceId, ProjectId, TaskId};
use redtrove_engine::ports::{KeptAnswer, NewTask, StoreError, SubmitError};
use redtrove_engine::task::Verdict;

use super::{PRESENT, begin_operation, insert_task};
use crate::answers::keep_answer;
use crate::backend::{Backend, SqlStore, printed, values};
use crate::rows;

const WAIVE: &str = "UPDATE tasks SET verdict_by = 0 WHERE id = ? AND verdict IS NULL";

const VERDICT: &str = "SELECT verdict FROM tasks WHERE id = ?";

impl<B: Backend> SqlStore<B> {
    /// See `Store::shrink_cluster`.
    pub(crate) async fn insert_shrink(
        &self,
        project: &ProjectId,
        cluster: ClusterId,
        task: &NewTask,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), SubmitError> {
        let mut tx = self.begin().await?;
        keep_answer(&mut tx, answer).await?;
        begin_operation(&mut tx, project, cluster, task).await?;
        let rows = tx.rows(PRESENT, values![printed(cluster)]).await?;
        let present: BTreeSet<InstanceId> = rows.iter().map(|row| rows::parsed(row, "id")).collect::<Result<_, _>>()?;
        if let Some(missing) = task.members.iter().find(|member| !present.contains(member)) {
            return Err(SubmitError::NoInstance(*missing));
        }
        let leavers: BTreeSet<_> = task.members.iter().copied().collect();
        if leavers == present {
            return Err(SubmitError::LeavesNothing);
        }
        insert_task(&mut tx, cluster, task).await?;
        Ok(tx.commit().await?)
    }

    /// See `Store::waive_verdict`.
    pub(crate) async fn waive(&self, task: TaskId) -> Result<Option<Verdict>, StoreError> {
        let mut tx = self.begin().await?;
        if tx.execute(WAIVE, values![printed(task)]).await? > 0 {
            tx.commit().await?;
            return Ok(None);
        }
        // There is a verdict, which then stays, or no such task.
        match tx.one(VERDICT, values![printed(task)]).await? {
            Some(row) => rows::parsed_or_null(&row, "verdict"),
            None => Ok(None),
        }
    }
}
