//! The rows of the simulated database and what each statement does to them.

mod projects;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redtrove_core::catalogue::{Datastore, DatastoreLabel, DatastoreVersion, Flavor};
use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::ids::DatastoreVersionId;
use redtrove_core::instance::{Heard, Instance, Lifecycle};
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, TaskId, Timestamp};

use crate::ports::{
    Change, Claimed, DeleteSubmitted, Ending, HIGHEST_SEEN, KeptAnswer, Lease, NewCluster, NewTask, NewVersion,
    Outcome, Record, Resource, StoreError, SubmitError,
};
use crate::sim::mutation::Mutation;
use crate::task::{StepRecord, Task, TaskState, Verdict};

mod debts;
mod members;
mod upkeep;

use debts::Removed;

#[derive(Debug, Clone)]
pub(in crate::sim) struct ClusterRow {
    pub(in crate::sim) cluster: Cluster,
    pub(in crate::sim) token: u64,
    pub(in crate::sim) deleted_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(in crate::sim) struct TaskRow {
    pub(in crate::sim) task: Task,
    pub(in crate::sim) token: u64,
    pub(in crate::sim) lease_ends: Timestamp,
    not_before: Timestamp,
    pub(in crate::sim) steps: Vec<StepRecord>,
    /// Until then somebody waits for the verdict.
    verdict_by: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
pub(in crate::sim) struct Tables {
    pub(in crate::sim) clusters: BTreeMap<ClusterId, ClusterRow>,
    pub(in crate::sim) instances: BTreeMap<InstanceId, (ProjectId, Instance)>,
    pub(in crate::sim) tasks: BTreeMap<TaskId, TaskRow>,
    pub(in crate::sim) used: BTreeMap<ProjectId, (i64, i64)>,
    limits: BTreeMap<(ProjectId, Resource), i64>,
    answers: BTreeMap<String, (KeptAnswer, Timestamp)>,
    datastores: BTreeMap<String, Datastore>,
    flavors: Vec<Flavor>,
    monitor: Option<(String, Timestamp)>,
    /// When the monitor's right was last taken or renewed.
    looked: Option<Timestamp>,
    orphans: BTreeMap<InstanceId, Timestamp>,
    /// When they were last looked for.
    orphans_looked: Option<Timestamp>,
    pub(in crate::sim) removed: BTreeMap<NodeId, Removed>,
    /// The mistake that this database is to make.
    pub(in crate::sim) mutation: Option<Mutation>,
}

fn size(gb: u64) -> i64 {
    i64::try_from(gb).unwrap_or(i64::MAX)
}

impl Tables {
    pub(in crate::sim) fn used(&self, project: &ProjectId) -> (i64, i64) {
        self.used.get(project).copied().unwrap_or_default()
    }

    pub(super) fn create_cluster(&mut self, new: &NewCluster, now: Timestamp) -> Result<(), SubmitError> {
        self.keep_answer(new.answer.as_ref(), now)?;
        self.raise_used(&new.project, new.limits, &new.instances)?;
        if self.tasks.contains_key(&new.task.id) || self.clusters.contains_key(&new.id) {
            return Err(StoreError::Broken("the id is another's".into()).into());
        }
        let datastore = self.label(new.version)?;
        let cluster = Cluster {
            id: new.id,
            project: new.project.clone(),
            name: new.name.clone(),
            task: new.task.kind.cluster_task(),
            operation: Some(new.task.id),
            datastore,
            locality: new.locality,
            fault: None,
            slots_served: None,
            created: new.created,
            updated: new.created,
        };
        self.clusters.insert(new.id, ClusterRow { cluster, token: 0, deleted_at: None });
        for instance in &new.instances {
            self.instances.insert(instance.id, (new.project.clone(), instance.row(new.id, new.created)));
        }
        self.add_task(new.id, &new.task, now);
        Ok(())
    }

    fn label(&self, id: DatastoreVersionId) -> Result<DatastoreLabel, StoreError> {
        let found = self.datastores.values().find_map(|datastore| {
            let version = datastore.versions.iter().find(|version| version.id == id)?;
            let (datastore, version) = (datastore.name.clone(), version.name.clone());
            Some(DatastoreLabel { version_id: id, datastore, version })
        });
        found.ok_or_else(|| StoreError::Broken("no such version".into()))
    }

    fn add_task(&mut self, cluster: ClusterId, new: &NewTask, now: Timestamp) {
        let task = Task {
            id: new.id,
            cluster,
            kind: new.kind,
            members: new.members.clone(),
            state: TaskState::Pending,
            verdict: None,
            step: None,
            progress: None,
            attempt: 0,
            lease_owner: None,
            deadline: now.after(new.time_limit),
            fault: None,
            request: new.request.clone(),
            traceparent: new.traceparent.clone(),
            created: now,
            started: None,
            ended: None,
        };
        let verdict_by = new.verdict_within.map(|within| now.after(within));
        let row = TaskRow { task, token: 0, lease_ends: now, not_before: now, steps: Vec::new(), verdict_by };
        self.tasks.insert(new.id, row);
    }

    pub(super) fn delete_cluster(
        &mut self,
        project: &ProjectId,
        id: ClusterId,
        task: &NewTask,
        now: Timestamp,
    ) -> Result<DeleteSubmitted, SubmitError> {
        let row = self.clusters.get_mut(&id).filter(|row| row.deleted_at.is_none() && row.cluster.project == *project);
        let row = row.ok_or(SubmitError::NotFound)?;
        if let (ClusterTask::Deleting, Some(operation)) = (row.cluster.task, row.cluster.operation) {
            return Ok(DeleteSubmitted::UnderWay(operation));
        }
        row.cluster.task = ClusterTask::Deleting;
        row.cluster.operation = Some(task.id);
        row.cluster.updated = now;
        self.supersede(id, "superseded by a delete", now);
        for (_, instance) in self.instances.values_mut().filter(|(_, instance)| instance.cluster == id) {
            if instance.lifecycle.may_become(Lifecycle::Deleting) {
                instance.lifecycle = Lifecycle::Deleting;
                instance.updated = now;
            }
        }
        self.add_task(id, task, now);
        Ok(DeleteSubmitted::Taken)
    }

    pub(in crate::sim) fn cluster(&self, id: ClusterId) -> Option<(Cluster, Vec<Instance>)> {
        let row = self.clusters.get(&id).filter(|row| row.deleted_at.is_none())?;
        Some((row.cluster.clone(), self.members(id)))
    }

    fn members(&self, id: ClusterId) -> Vec<Instance> {
        let members = self.instances.values().map(|(_, instance)| instance);
        let mut members: Vec<_> =
            members.filter(|i| i.cluster == id && i.lifecycle != Lifecycle::Deleted).cloned().collect();
        members.sort_by_key(|instance| instance.number);
        members
    }

    pub(super) fn clusters(
        &self,
        project: &ProjectId,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Vec<(Cluster, Vec<Instance>)> {
        let ids = self.clusters.iter().filter(|(id, row)| {
            row.deleted_at.is_none() && row.cluster.project == *project && after.is_none_or(|after| **id > after)
        });
        ids.take(limit as usize).filter_map(|(id, _)| self.cluster(*id)).collect()
    }

    fn is_claimable(row: &TaskRow, now: Timestamp) -> bool {
        let free = row.task.state == TaskState::Pending || row.lease_ends <= now;
        !row.task.state.is_end() && free && row.not_before <= now
    }

    pub(super) fn claimable(&self, limit: u32, now: Timestamp) -> Vec<TaskId> {
        if self.mutation == Some(Mutation::SweepersFindNothing) {
            return Vec::new();
        }
        let due = self.tasks.iter().filter(|(_, row)| Self::is_claimable(row, now));
        due.take(limit as usize).map(|(id, _)| *id).collect()
    }

    pub(super) fn next_claimable(&self, now: Timestamp) -> Option<Duration> {
        let open = self.tasks.values().filter(|row| !row.task.state.is_end());
        let due = open.map(|row| match row.task.state {
            TaskState::Pending => row.not_before,
            _ => row.not_before.max(row.lease_ends),
        });
        due.filter(|due| *due > now).min().map(|due| due.since(now))
    }

    pub(super) fn claim(&mut self, id: TaskId, owner: &str, length: Duration, now: Timestamp) -> Option<Claimed> {
        let greedy = self.mutation == Some(Mutation::ClaimsIgnoreLeases);
        let claimable = |row: &&mut TaskRow| Self::is_claimable(row, now) || (greedy && !row.task.state.is_end());
        let row = self.tasks.get_mut(&id).filter(claimable)?;
        let cluster = self.clusters.get_mut(&row.task.cluster)?;
        if self.mutation != Some(Mutation::ClaimsKeepTheToken) || cluster.token == 0 {
            cluster.token += 1;
        }
        row.token = cluster.token;
        row.lease_ends = now.after(length);
        row.task.state = TaskState::Running;
        row.task.attempt += 1;
        if self.mutation == Some(Mutation::StepLogsAreCutShort) {
            row.steps.clear();
        }
        row.task.lease_owner = Some(owner.to_owned());
        let begun = *row.task.started.get_or_insert(now);
        Some(Claimed {
            lease: Lease { task: id, cluster: row.task.cluster, token: row.token },
            begun_ago: now.since(begun),
            time_left: row.task.deadline.since(now),
            task: row.task.clone(),
        })
    }

    fn held(&mut self, lease: &Lease) -> Result<&mut TaskRow, StoreError> {
        let row = self.tasks.get_mut(&lease.task);
        let careless = self.mutation == Some(Mutation::TheDatabaseChecksNoToken);
        let held = row.filter(|row| (row.token == lease.token || careless) && row.task.state == TaskState::Running);
        held.ok_or(StoreError::LeaseLost)
    }

    pub(super) fn renew(&mut self, lease: &Lease, length: Duration, now: Timestamp) -> Result<(), StoreError> {
        self.held(lease)?.lease_ends = now.after(length);
        Ok(())
    }

    pub(super) fn release(&mut self, lease: &Lease, pause: Duration, now: Timestamp) -> Result<(), StoreError> {
        let row = self.held(lease)?;
        row.task.lease_owner = None;
        row.lease_ends = Timestamp::default();
        row.not_before = now.after(pause);
        Ok(())
    }

    pub(super) fn expire_leases_of(&mut self, owner: &str) -> u64 {
        let mut count = 0;
        for row in self.tasks.values_mut() {
            let own = row.task.state == TaskState::Running && row.task.lease_owner.as_deref() == Some(owner);
            if own && row.lease_ends != Timestamp::default() {
                row.lease_ends = Timestamp::default();
                count += 1;
            }
        }
        count
    }

    pub(super) fn raise_token(&mut self, lease: &Lease, seen: u64) -> Result<Lease, StoreError> {
        if seen > HIGHEST_SEEN {
            return Err(StoreError::Broken("no guest has seen that".into()));
        }
        let raised = seen.max(lease.token) + 1;
        self.held(lease)?.token = raised;
        if let Some(cluster) = self.clusters.get_mut(&lease.cluster) {
            cluster.token = raised;
        }
        Ok(Lease { token: raised, ..lease.clone() })
    }

    pub(super) fn record(&mut self, lease: &Lease, record: &Record, now: Timestamp) -> Result<(), StoreError> {
        let row = self.held(lease)?;
        end_steps(row, &record.ended);
        for begun in &record.begun {
            // The same entry once more, after its answer was lost.
            let is_next = row.steps.last().is_none_or(|last| last.seq < begun.seq);
            if !is_next && row.steps.iter().any(|step| step.seq == begun.seq) {
                continue;
            }
            row.steps.push(StepRecord {
                seq: begun.seq,
                name: begun.name.to_owned(),
                subject: begun.subject,
                outcome: None,
                error: None,
                started: begun.at,
                ended: None,
            });
        }
        if let Some((step, progress)) = &record.progress {
            row.task.step = Some((*step).to_owned());
            row.task.progress = Some(progress.clone());
        }
        if record.changes.contains(&Change::Accepted) {
            row.task.verdict = Some(Verdict::Accepted);
        }
        for change in &record.changes {
            self.change(lease.cluster, change, now);
        }
        Ok(())
    }

    fn change(&mut self, cluster: ClusterId, change: &Change, now: Timestamp) {
        let Some(id) = change.instance() else { return };
        let row = self.instances.get_mut(&id).filter(|(_, instance)| instance.cluster == cluster);
        let Some((project, instance)) = row else { return };
        instance.updated = now;
        match change {
            Change::Accepted => {}
            Change::Left { .. } => self.left(id, now),
            Change::Forgotten { node, .. } => self.pay_debts(&[(*node, id)], now),
            Change::Address { ip, .. } => instance.ip = Some(ip.clone()),
            Change::Node { node, .. } => instance.node_id = Some(*node),
            Change::Gone { .. } => {
                let project = project.clone();
                self.gone(&project, id, now);
            }
        }
    }

    /// The instance is deleted, owes nothing, and its share of the quota is free; once.
    fn gone(&mut self, project: &ProjectId, id: InstanceId, now: Timestamp) {
        let Some((_, instance)) = self.instances.get_mut(&id) else { return };
        if instance.lifecycle == Lifecycle::Deleted {
            return;
        }
        instance.lifecycle = Lifecycle::Deleted;
        if self.mutation == Some(Mutation::QuotaIsNotGivenBack) {
            return;
        }
        let used = self.used.entry(project.clone()).or_default();
        *used = (used.0 - 1, used.1 - size(instance.volume_gb));
        self.forgive(id, now);
    }

    pub(super) fn finish(&mut self, lease: &Lease, ending: &Ending, now: Timestamp) -> Result<(), StoreError> {
        let changes_verdicts = self.mutation == Some(Mutation::VerdictsChange);
        let row = self.held(lease)?;
        end_steps(row, &ending.ended);
        let fault = match &ending.outcome {
            Outcome::Succeeded => None,
            Outcome::Failed(fault) | Outcome::Refused(fault) => Some(fault.message.clone()),
        };
        let refused = matches!(ending.outcome, Outcome::Refused(_));
        let awaited = refused && row.task.verdict.is_none() && row.verdict_by.is_some_and(|by| now <= by);
        if refused {
            row.task.verdict = Some(Verdict::Refused);
        }
        row.task.state = if fault.is_none() { TaskState::Succeeded } else { TaskState::Failed };
        if changes_verdicts {
            row.task.verdict = None;
        }
        row.task.fault.clone_from(&fault);
        row.task.lease_owner = None;
        row.task.ended = Some(now);
        let stays_busy = self.mutation == Some(Mutation::EndedTasksKeepTheirClusterBusy);
        if let Some(row) = self.clusters.get_mut(&lease.cluster).filter(|_| !stays_busy) {
            row.cluster.task = ClusterTask::None;
            row.cluster.operation = None;
            if !awaited {
                row.cluster.fault = fault;
            }
            row.cluster.updated = now;
            row.deleted_at = row.deleted_at.or(ending.cluster_deleted.then_some(now));
        }
        let mut gone: Vec<InstanceId> = Vec::new();
        if ending.cluster_deleted {
            gone.extend(self.instances.values().filter(|(_, i)| i.cluster == lease.cluster).map(|(_, i)| i.id));
        }
        gone.extend(ending.lifecycles.iter().filter(|(_, next)| *next == Lifecycle::Deleted).map(|(id, _)| *id));
        for id in gone {
            if let Some((project, _)) = self.instances.get(&id) {
                let project = project.clone();
                self.gone(&project, id, now);
            }
        }
        for (id, next) in &ending.lifecycles {
            if let Some((_, instance)) = self.instances.get_mut(id).filter(|(_, i)| i.lifecycle.may_become(*next)) {
                instance.lifecycle = *next;
                instance.updated = now;
            }
        }
        for (id, reason) in &ending.faults {
            if let Some((_, instance)) = self.instances.get_mut(id) {
                instance.fault = Some(reason.clone());
                instance.updated = now;
            }
        }
        Ok(())
    }

    pub(in crate::sim) fn task(&self, id: TaskId) -> Option<Task> {
        self.tasks.get(&id).map(|row| row.task.clone())
    }

    pub(super) fn tasks(&self, cluster: Option<ClusterId>, limit: u32) -> Vec<Task> {
        let tasks = self.tasks.values().rev().map(|row| &row.task);
        tasks.filter(|task| cluster.is_none_or(|id| task.cluster == id)).take(limit as usize).cloned().collect()
    }

    pub(super) fn steps(&self, task: TaskId) -> Vec<StepRecord> {
        self.tasks.get(&task).map(|row| row.steps.clone()).unwrap_or_default()
    }

    pub(super) fn datastores(&self) -> Vec<Datastore> {
        self.datastores.values().cloned().collect()
    }

    pub(super) fn add_version(&mut self, new: &NewVersion) -> bool {
        let datastore = self.datastores.entry(new.datastore.clone()).or_insert_with(|| Datastore {
            id: new.datastore_id,
            name: new.datastore.clone(),
            versions: Vec::new(),
        });
        if datastore.versions.iter().any(|version| version.name == new.version) {
            return false;
        }
        if new.is_default {
            for version in &mut datastore.versions {
                version.is_default = false;
            }
        }
        datastore.versions.push(DatastoreVersion {
            id: new.version_id,
            name: new.version.clone(),
            engine: new.engine,
            active: true,
            is_default: new.is_default,
            settings: new.settings.clone(),
        });
        datastore.versions.sort_by(|a, b| a.name.cmp(&b.name));
        true
    }

    pub(super) fn version(&self, id: DatastoreVersionId) -> Option<DatastoreVersion> {
        self.datastores.values().flat_map(|datastore| &datastore.versions).find(|version| version.id == id).cloned()
    }

    pub(super) fn flavors(&self) -> Vec<Flavor> {
        self.flavors.clone()
    }

    pub(super) fn put_flavors(&mut self, flavors: &[Flavor]) {
        self.flavors = flavors.to_vec();
        self.flavors.sort_by(|a, b| a.id.cmp(&b.id));
    }

    pub(super) fn take_monitor(&mut self, owner: &str, length: Duration, now: Timestamp) -> bool {
        let free = self.monitor.as_ref().is_none_or(|(holder, ends)| holder == owner || *ends < now);
        if free {
            self.monitor = Some((owner.to_owned(), now.after(length)));
            self.looked = Some(now);
        }
        free
    }

    pub(super) fn complete_instances(&self) -> Vec<Instance> {
        let instances = self.instances.values().map(|(_, instance)| instance);
        instances.filter(|instance| instance.lifecycle == Lifecycle::Complete).cloned().collect()
    }

    pub(super) fn put_heard(&mut self, heard: &[(InstanceId, Heard)]) {
        for (id, heard) in heard {
            if let Some((_, instance)) = self.instances.get_mut(id) {
                instance.heard = heard.clone();
                if self.mutation == Some(Mutation::DeletedInstancesComeBack) {
                    instance.lifecycle = Lifecycle::Complete;
                }
            }
        }
    }

    pub(super) fn deleted_among(&self, ids: &[InstanceId]) -> BTreeSet<InstanceId> {
        let deleted = |id: &&InstanceId| {
            let removed = self.removed.values().any(|removed| removed.instance == **id);
            let row = self.instances.get(id);
            !removed && row.is_some_and(|(_, instance)| instance.lifecycle == Lifecycle::Deleted)
        };
        ids.iter().filter(deleted).copied().collect()
    }
}

fn end_steps(row: &mut TaskRow, ended: &[crate::ports::EndedStep]) {
    for end in ended {
        if let Some(step) = row.steps.iter_mut().rev().find(|step| step.seq == end.seq && step.ended.is_none()) {
            step.outcome = Some(end.outcome);
            step.error.clone_from(&end.error);
            step.ended = Some(end.at);
        }
    }
}
