//! Growing and shrinking: what these submissions write.

use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::request::MOST_MEMBERS;
use redtrove_core::{ClusterId, ProjectId, TaskId, Timestamp};

use super::Tables;
use crate::ports::{Growth, KeptAnswer, NewInstance, NewTask, StoreError, SubmitError};
use crate::task::Verdict;

impl Tables {
    /// The cluster begins a task that starts from NONE.
    fn busy(
        &mut self,
        project: &ProjectId,
        id: ClusterId,
        task: &NewTask,
        now: Timestamp,
    ) -> Result<Cluster, SubmitError> {
        let is_taken = self.tasks.contains_key(&task.id);
        let row = self.clusters.get_mut(&id).filter(|row| row.deleted_at.is_none() && row.cluster.project == *project);
        let cluster = &mut row.ok_or(SubmitError::NotFound)?.cluster;
        if cluster.task != ClusterTask::None {
            return Err(SubmitError::Busy(cluster.task));
        }
        if is_taken {
            return Err(StoreError::Broken("the id is another's".into()).into());
        }
        cluster.task = task.kind.cluster_task();
        cluster.operation = Some(task.id);
        cluster.updated = now;
        Ok(cluster.clone())
    }

    pub(in crate::sim::store) fn grow_cluster(
        &mut self,
        growth: &Growth,
        now: Timestamp,
    ) -> Result<(Cluster, Vec<Instance>), SubmitError> {
        if let Some(first) = growth.answer.as_ref().and_then(|answer| self.answer(&answer.key.id, now)) {
            return Err(SubmitError::Answered(Box::new(first)));
        }
        let cluster = self.busy(&growth.project, growth.cluster, &growth.task, now)?;
        let ever = || self.instances.values().map(|(_, i)| i).filter(|i| i.cluster == growth.cluster);
        let count = ever().filter(|i| i.lifecycle != Lifecycle::Deleted).count() + growth.joiners.len();
        if count > MOST_MEMBERS {
            return Err(SubmitError::TooMany(count));
        }
        let highest = ever().map(|i| i.number).max().unwrap_or_default();
        let new: Vec<NewInstance> = (highest + 1..)
            .zip(&growth.joiners)
            .map(|(number, joiner)| joiner.numbered(&cluster.name, number))
            .collect();
        self.raise_used(&growth.project, growth.limits, &new)?;
        let joined: Vec<Instance> = new.iter().map(|new| new.row(growth.cluster, now)).collect();
        for instance in &joined {
            self.instances.insert(instance.id, (growth.project.clone(), instance.clone()));
        }
        self.add_task(growth.cluster, &growth.task, now);
        let answer = growth.answer.as_ref().map(|answer| answer.made(&cluster, &joined, growth.task.id));
        self.keep_answer(answer.as_ref(), now)?;
        Ok((cluster, joined))
    }

    pub(in crate::sim::store) fn shrink_cluster(
        &mut self,
        project: &ProjectId,
        id: ClusterId,
        task: &NewTask,
        answer: Option<&KeptAnswer>,
        now: Timestamp,
    ) -> Result<(), SubmitError> {
        self.keep_answer(answer, now)?;
        self.busy(project, id, task, now)?;
        let standing: Vec<_> = self.cluster(id).map(|(_, members)| members).unwrap_or_default();
        let is_here = |wanted| standing.iter().any(|instance| instance.id == wanted);
        if let Some(missing) = task.members.iter().find(|wanted| !is_here(**wanted)) {
            return Err(SubmitError::NoInstance(*missing));
        }
        if standing.iter().all(|instance| task.members.contains(&instance.id)) {
            return Err(SubmitError::LeavesNothing);
        }
        self.add_task(id, task, now);
        Ok(())
    }

    pub(in crate::sim::store) fn waive_verdict(&mut self, task: TaskId) -> Option<Verdict> {
        let row = self.tasks.get_mut(&task)?;
        if row.task.verdict.is_none() {
            row.verdict_by = None;
        }
        row.task.verdict
    }
}
