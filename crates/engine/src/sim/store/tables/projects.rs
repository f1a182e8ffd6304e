//! What belongs to a project rather than to a cluster: its quota, and the answers it was given. And what operators do
//! across projects.

use std::collections::BTreeMap;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, ProjectId, TaskId, Timestamp};

use super::{Tables, size};
use crate::ports::{
    ANSWERS_KEPT, ENDED_BY_RESET, KeptAnswer, Limits, NewInstance, OperatorCluster, Resource, SubmitError, Usage,
};
use crate::sim::mutation::Mutation;
use crate::task::TaskState;

impl Tables {
    /// Raises what the project has by what the instances need, or names what that is too much of.
    pub(super) fn raise_used(
        &mut self,
        project: &ProjectId,
        limits: Limits,
        new: &[NewInstance],
    ) -> Result<(), SubmitError> {
        let used = self.used(project);
        let instances = used.0 + size(new.len() as u64);
        let volumes = new.iter().fold(used.1, |sum, instance| sum.saturating_add(size(instance.volume_gb)));
        let mut exceeded = Vec::new();
        for (usage, wanted) in self.usages(project).into_iter().zip([instances, volumes]) {
            let limit = usage.limit(limits);
            // A sum that is out of range is over every limit, even over none.
            if (limit >= 0 && wanted > limit) || wanted == i64::MAX {
                exceeded.push(usage.resource.name());
            }
        }
        if !exceeded.is_empty() {
            return Err(SubmitError::Quota(exceeded));
        }
        self.used.insert(project.clone(), (instances, volumes));
        Ok(())
    }

    pub(in crate::sim::store) fn usages(&self, project: &ProjectId) -> Vec<Usage> {
        let (instances, volumes) = self.used(project);
        let usage = |(resource, in_use)| Usage {
            resource,
            in_use,
            own_limit: self.limits.get(&(project.clone(), resource)).copied(),
        };
        Resource::ALL.into_iter().zip([instances, volumes]).map(usage).collect()
    }

    pub(in crate::sim::store) fn put_limits(&mut self, project: &ProjectId, limits: &BTreeMap<Resource, Option<i64>>) {
        for (resource, limit) in limits {
            let place = (project.clone(), *resource);
            match limit {
                Some(limit) => self.limits.insert(place, *limit),
                None => self.limits.remove(&place),
            };
        }
    }

    pub(super) fn keep_answer(&mut self, answer: Option<&KeptAnswer>, now: Timestamp) -> Result<(), SubmitError> {
        let Some(answer) = answer else { return Ok(()) };
        if let Some(first) = self.answer(&answer.key.id, now) {
            return Err(SubmitError::Answered(Box::new(first)));
        }
        self.answers.retain(|_, (_, given)| now.since(*given) < ANSWERS_KEPT);
        self.answers.insert(answer.key.id.clone(), (answer.clone(), now));
        Ok(())
    }

    pub(in crate::sim::store) fn answer(&self, id: &str, now: Timestamp) -> Option<KeptAnswer> {
        let (answer, given) = self.answers.get(id)?;
        (now.since(*given) < ANSWERS_KEPT).then(|| answer.clone())
    }

    pub(in crate::sim::store) fn settle_answer(&mut self, id: &str, status: u16, body: &str) {
        if let Some((answer, _)) = self.answers.get_mut(id).filter(|(answer, _)| answer.status.is_none()) {
            answer.status = Some(status);
            body.clone_into(&mut answer.body);
        }
    }

    pub(in crate::sim::store) fn reset_cluster(
        &mut self,
        project: &ProjectId,
        id: ClusterId,
        answer: Option<&KeptAnswer>,
        now: Timestamp,
    ) -> Result<Option<TaskId>, SubmitError> {
        self.keep_answer(answer, now)?;
        let row = self.clusters.get_mut(&id).filter(|row| row.deleted_at.is_none() && row.cluster.project == *project);
        let row = row.ok_or(SubmitError::NotFound)?;
        if row.cluster.task == ClusterTask::None {
            return Ok(None);
        }
        let ended = row.cluster.operation.take();
        if self.mutation == Some(Mutation::EndedTasksAreOpenedAgain)
            && let Some(first) = self.tasks.values_mut().find(|row| row.task.cluster == id && row.task.state.is_end())
        {
            first.task.state = TaskState::Running;
        }
        row.cluster.task = ClusterTask::None;
        row.cluster.fault = Some(ENDED_BY_RESET.to_owned());
        row.cluster.updated = now;
        self.supersede(id, "superseded by a reset", now);
        for (_, instance) in self.instances.values_mut().filter(|(_, instance)| instance.cluster == id) {
            if instance.lifecycle == Lifecycle::Building {
                instance.fault.get_or_insert_with(|| ENDED_BY_RESET.to_owned());
                instance.updated = now;
            }
        }
        Ok(ended)
    }

    /// Ends what runs on a cluster.
    pub(super) fn supersede(&mut self, cluster: ClusterId, why: &str, now: Timestamp) {
        for running in self.tasks.values_mut().filter(|row| row.task.cluster == cluster && !row.task.state.is_end()) {
            running.task.state = TaskState::Failed;
            running.task.fault = Some(why.to_owned());
            running.task.lease_owner = None;
            running.task.ended = Some(now);
        }
    }

    pub(in crate::sim::store) fn operator_clusters(
        &self,
        deleted: Option<bool>,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Vec<OperatorCluster> {
        let ids = self.clusters.iter().filter(|(id, row)| {
            deleted.is_none_or(|deleted| deleted == row.deleted_at.is_some()) && after.is_none_or(|after| **id > after)
        });
        ids.take(limit as usize).filter_map(|(id, _)| self.operator_cluster(*id)).collect()
    }

    pub(in crate::sim::store) fn operator_cluster(&self, id: ClusterId) -> Option<OperatorCluster> {
        let row = self.clusters.get(&id)?;
        Some(OperatorCluster { cluster: row.cluster.clone(), instances: self.members(id), deleted_at: row.deleted_at })
    }
}
