//! What upkeep reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, Timestamp};

use super::{Tables, size};
use crate::ports::{
    Amendment, OPERATION_LOST, ORPHANS_ARE_SEEN_WITHIN, OpenTask, Orphan, Resource, TASK_ASTRAY, UsageDifference,
    Watched,
};
use crate::task::TaskState;

impl Tables {
    pub(in crate::sim::store) fn watched(&self, now: Timestamp) -> Watched {
        Watched { now, looked: self.looked, until: self.monitor.as_ref().map(|(_, ends)| *ends) }
    }

    pub(in crate::sim::store) fn slots_served(&self) -> BTreeMap<ClusterId, Option<u32>> {
        let there = self.clusters.values().filter(|row| row.deleted_at.is_none());
        there.map(|row| (row.cluster.id, row.cluster.slots_served)).collect()
    }

    pub(in crate::sim::store) fn put_slots_served(&mut self, served: &[(ClusterId, u32)], now: Timestamp) {
        for (id, count) in served {
            if let Some(row) = self.clusters.get_mut(id).filter(|row| row.deleted_at.is_none()) {
                row.cluster.slots_served = Some(*count);
                row.cluster.updated = now;
            }
        }
    }

    pub(in crate::sim::store) fn open_tasks(&self) -> Vec<OpenTask> {
        let open = self.tasks.values().filter(|row| !row.task.state.is_end());
        let open = open.map(|row| OpenTask {
            task: row.task.clone(),
            lease_ends: row.task.lease_owner.is_some().then_some(row.lease_ends),
            not_before: row.not_before,
        });
        open.collect()
    }

    pub(in crate::sim::store) fn left_behind(&self) -> Vec<Instance> {
        let live = self.instances.values().map(|(_, instance)| instance);
        let live = live.filter(|instance| instance.lifecycle != Lifecycle::Deleted);
        live.filter(|instance| self.is_deleted(instance.cluster)).cloned().collect()
    }

    fn is_deleted(&self, cluster: ClusterId) -> bool {
        self.clusters.get(&cluster).is_some_and(|row| row.deleted_at.is_some())
    }

    fn counted(&self, project: &ProjectId) -> (i64, i64) {
        let live = self.instances.values().filter(|(owner, i)| owner == project && i.lifecycle != Lifecycle::Deleted);
        live.fold((0, 0), |(count, volumes), (_, i)| (count + 1, volumes + size(i.volume_gb)))
    }

    pub(in crate::sim::store) fn usage_differences(&self) -> Vec<UsageDifference> {
        let owners = self.instances.values().map(|(owner, _)| owner).chain(self.used.keys());
        let projects: BTreeMap<String, &ProjectId> = owners.map(|project| (project.to_string(), project)).collect();
        let differences = projects.into_values().flat_map(|project| {
            let ((in_use, gb_in_use), (counted, gb_counted)) = (self.used(project), self.counted(project));
            let usage = move |resource, in_use, counted| UsageDifference {
                project: project.clone(),
                resource,
                in_use,
                counted,
            };
            [usage(Resource::Instances, in_use, counted), usage(Resource::Volumes, gb_in_use, gb_counted)]
        });
        differences.filter(|usage| usage.in_use != usage.counted).collect()
    }

    pub(in crate::sim::store) fn old_debts(&self, before: Timestamp) -> Vec<NodeId> {
        let old = self.removed_nodes(None).into_iter().filter(|removed| {
            let row = self.instances.get(&removed.instance);
            removed.paid.is_none() && row.is_some_and(|(_, instance)| instance.updated < before)
        });
        old.map(|removed| removed.node).collect()
    }

    pub(in crate::sim::store) fn unknown_among(&self, ids: &[InstanceId]) -> BTreeSet<InstanceId> {
        ids.iter().filter(|id| !self.instances.contains_key(id)).copied().collect()
    }

    pub(in crate::sim::store) fn orphans(&self, now: Timestamp) -> Vec<Orphan> {
        let goes_on = self.looks_go_on(now);
        let orphan = |(instance, first_seen): (&InstanceId, &Timestamp)| Orphan {
            instance: *instance,
            first_seen: if goes_on { *first_seen } else { now },
        };
        self.orphans.iter().map(orphan).collect()
    }

    fn looks_go_on(&self, now: Timestamp) -> bool {
        self.orphans_looked.is_some_and(|last| now.since(last) <= ORPHANS_ARE_SEEN_WITHIN)
    }

    pub(in crate::sim::store) fn put_orphans(&mut self, present: &BTreeSet<InstanceId>, now: Timestamp) {
        let goes_on = self.looks_go_on(now);
        self.orphans.retain(|id, _| goes_on && present.contains(id));
        self.orphans_looked = Some(now);
        for id in present {
            self.orphans.entry(*id).or_insert(now);
        }
    }

    pub(in crate::sim::store) fn amend(&mut self, amendment: &Amendment, now: Timestamp) -> bool {
        match amendment {
            Amendment::Free { cluster } => self.free(*cluster, now),
            Amendment::Supersede { task } => {
                let known = self.clusters.values().any(|row| row.cluster.operation == Some(*task));
                let Some(row) = self.tasks.get_mut(task).filter(|row| !known && !row.task.state.is_end()) else {
                    return false;
                };
                row.task.state = TaskState::Failed;
                row.task.fault = Some(TASK_ASTRAY.to_owned());
                row.task.lease_owner = None;
                row.task.ended = Some(now);
                true
            }
            Amendment::Recount { project, resource } => {
                let (instances, volumes) = self.counted(project);
                let used = self.used.entry(project.clone()).or_default();
                match resource {
                    Resource::Instances => used.0 = instances,
                    Resource::Volumes => used.1 = volumes,
                }
                true
            }
            Amendment::Blame { instance } => {
                let idle = |id| self.clusters.get(&id).is_some_and(|row| row.cluster.task == ClusterTask::None);
                let made_by_nobody = self.instances.get(instance).is_some_and(|(_, instance)| {
                    instance.lifecycle == Lifecycle::Building && instance.fault.is_none() && idle(instance.cluster)
                });
                if made_by_nobody && let Some((_, instance)) = self.instances.get_mut(instance) {
                    instance.fault = Some(OPERATION_LOST.to_owned());
                    instance.updated = now;
                }
                made_by_nobody
            }
            Amendment::Bury { instance } => {
                let left = self.left_behind().iter().any(|left| left.id == *instance);
                if left && let Some((project, _)) = self.instances.get(instance).cloned() {
                    self.gone(&project, *instance, now);
                }
                left
            }
        }
    }

    fn free(&mut self, cluster: ClusterId, now: Timestamp) -> bool {
        let driven = |operation| self.tasks.get(&operation).is_some_and(|row| !row.task.state.is_end());
        let stuck = self.clusters.get(&cluster).is_some_and(|row| {
            let busy = row.deleted_at.is_none() && row.cluster.task != ClusterTask::None;
            busy && !row.cluster.operation.is_some_and(driven)
        });
        if !stuck {
            return false;
        }
        if let Some(row) = self.clusters.get_mut(&cluster) {
            row.cluster.task = ClusterTask::None;
            row.cluster.operation = None;
            row.cluster.fault = Some(OPERATION_LOST.to_owned());
            row.cluster.updated = now;
        }
        for (_, instance) in self.instances.values_mut() {
            if instance.cluster == cluster && instance.lifecycle == Lifecycle::Building && instance.fault.is_none() {
                instance.fault = Some(OPERATION_LOST.to_owned());
                instance.updated = now;
            }
        }
        true
    }
}
