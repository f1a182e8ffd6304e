//! The database: what rows may become.

use redtrove_core::cluster::ClusterTask;
use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, Timestamp};

use super::Watch;
use crate::sim::store::{ClusterRow, Tables, TaskRow};
use crate::sim::{Call, State};
use crate::task::{Task, TaskKind, TaskState, Verdict};

const TOKENS_GROW: &str = "the token of a cluster only grows";
const ONE_A_TOKEN: &str = "no two runners hold the same token of a cluster";
const NEWEST_WRITES: &str = "only the holder of the newest token writes";
const LEASES_LAST: &str = "a task is not taken over before its lease has run out";
const CLUSTER_MOVES: &str = "a cluster's task moves only as it may";
const LIVES_GO_FORWARD: &str = "the life of an instance only goes forward";
const TASK_MOVES: &str = "a task is pending, then running, then ended";
const ENDED_IS_ENDED: &str = "a task that has ended never changes";
const VERDICTS_STAY: &str = "a verdict never changes";
const LOGS_GROW: &str = "the step log only grows";
const ONE_TASK: &str = "a cluster is busy with the one task that has not ended, or with none";
const QUOTA: &str = "what a project uses is the sum of its rows";
const AS_PLANNED: &str = "a cluster that was made is as planned";
const GONE_IS_GONE: &str = "a deleted cluster has no instances";

#[derive(Debug)]
pub(super) struct ClusterBefore {
    token: u64,
    /// Who took the newest token.
    holder: u32,
    task: ClusterTask,
    /// It was made, and nobody has asked for its end.
    pub(super) stands: bool,
    deleted: bool,
}

#[derive(Debug)]
pub(super) struct TaskBefore {
    state: TaskState,
    verdict: Option<Verdict>,
    steps: usize,
    ended_steps: usize,
    lease_ends: Timestamp,
    attempt: u32,
    end: Option<Task>,
}

fn ended_steps(row: &TaskRow) -> usize {
    row.steps.iter().filter(|step| step.ended.is_some()).count()
}

impl Watch {
    pub(super) fn look_at_rows(&mut self, state: &State, who: u32, call: &Call, done: bool) {
        let tables = &state.store;
        // What a held lease wrote, it wrote with the newest token, which is its own.
        if let (Some(cluster), Some(token), true) = (call.cluster, call.token, done)
            && let Some(before) = self.clusters.get(&cluster)
        {
            let (newest, holder) = (before.token, before.holder);
            self.check(token == newest && who == holder, NEWEST_WRITES, || {
                format!("#{who} did {} as {token}; #{holder} took {newest} of cluster {cluster}", call.name)
            });
        }
        let mut open = Vec::new();
        for row in tables.tasks.values() {
            self.look_at_task(row, who);
            if !row.task.state.is_end() {
                open.push(&row.task);
            }
        }
        for (id, row) in &tables.clusters {
            self.look_at_cluster(state, *id, row, &open, who, call);
        }
        for (id, (_, instance)) in &tables.instances {
            let before = self.lives.get(id).copied();
            if before == Some(instance.lifecycle) {
                continue;
            }
            self.lives.insert(*id, instance.lifecycle);
            let legal = before.is_none_or(|before| is_ahead(before, instance.lifecycle));
            let legal = legal && (before.is_some() || instance.lifecycle == Lifecycle::Building);
            self.check(legal, LIVES_GO_FORWARD, || format!("{id} was {before:?} and is {}", instance.lifecycle));
        }
        self.look_at_quota(tables);
    }

    fn look_at_task(&mut self, row: &TaskRow, who: u32) {
        let (id, task) = (row.task.id, &row.task);
        let now = TaskBefore {
            state: task.state,
            verdict: task.verdict,
            steps: row.steps.len(),
            ended_steps: 0,
            lease_ends: row.lease_ends,
            attempt: task.attempt,
            end: None,
        };
        let Some(before) = self.tasks.get(&id) else {
            self.check(task.state == TaskState::Pending, TASK_MOVES, || format!("{id} begins as {}", task.state));
            self.tasks.insert(id, now);
            return;
        };
        if let Some(end) = &before.end {
            // The rest of it is looked at in the end.
            let same = (end.state, end.verdict, end.attempt, end.ended)
                == (task.state, task.verdict, task.attempt, task.ended);
            let (same, was) = (same && before.steps == row.steps.len(), end.state);
            self.check(same, ENDED_IS_ENDED, || format!("{id} was {was} and is {task:?}"));
            return;
        }
        let ended_steps = ended_steps(row);
        let (was, verdict, steps, ended) = (before.state, before.verdict, before.steps, before.ended_steps);
        let (claimed, lease_ends) = (before.attempt != task.attempt, before.lease_ends);
        let legal =
            was == task.state || task.state.is_end() || (was, task.state) == (TaskState::Pending, TaskState::Running);
        self.check(legal, TASK_MOVES, || format!("{id} was {was} and is {}", task.state));
        let stays = verdict.is_none() || verdict == task.verdict;
        self.check(stays, VERDICTS_STAY, || format!("{id}: {verdict:?}, then {:?}", task.verdict));
        let grows = row.steps.len() >= steps && ended_steps >= ended;
        self.check(grows, LOGS_GROW, || format!("{id} had {steps} steps, {ended} of them ended"));
        if claimed {
            let database = crate::sim::clock::date(self.now);
            let free = was == TaskState::Pending || lease_ends <= database;
            self.check(free, LEASES_LAST, || format!("{id} was taken by #{who} at {database:?}, until {lease_ends:?}"));
            self.tally.taken_over += u64::from(was == TaskState::Running);
            if let Some(cluster) = self.clusters.get_mut(&task.cluster) {
                let (token, newest) = (row.token, cluster.token);
                cluster.holder = who;
                self.check(token > newest, ONE_A_TOKEN, || {
                    format!("#{who} took {token} of cluster {}, whose newest was {newest}", task.cluster)
                });
            }
        }
        if task.state.is_end() {
            let at = TaskKind::ALL.into_iter().position(|kind| kind == task.kind).unwrap_or(0);
            let counts =
                if task.state == TaskState::Succeeded { &mut self.tally.succeeded } else { &mut self.tally.failed };
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
            self.tally.refused += u64::from(task.verdict == Some(Verdict::Refused));
        }
        let end = task.state.is_end().then(|| task.clone());
        self.tasks.insert(id, TaskBefore { ended_steps, end, ..now });
    }

    fn look_at_cluster(
        &mut self,
        state: &State,
        id: ClusterId,
        row: &ClusterRow,
        open: &[&Task],
        who: u32,
        call: &Call,
    ) {
        let (token, task, deleted) = (row.token, row.cluster.task, row.deleted_at.is_some());
        let Some(before) = self.clusters.get_mut(&id) else {
            let born = ClusterBefore { token, holder: who, task, stands: false, deleted };
            self.clusters.insert(id, born);
            self.check(task == ClusterTask::Building, CLUSTER_MOVES, || format!("{id} begins as {task}"));
            return;
        };
        let (was, had, was_deleted) = (before.task, before.token, before.deleted);
        (before.task, before.token, before.deleted) = (task, token, deleted);
        let made = was == ClusterTask::Building && task == ClusterTask::None && row.cluster.fault.is_none();
        before.stands = (before.stands || made) && task != ClusterTask::Deleting && !deleted;
        let stands = before.stands;
        self.check(token >= had, TOKENS_GROW, || format!("{id} had {had} and has {token}"));
        self.check(was == task || was.may_become(task), CLUSTER_MOVES, || format!("{id} was {was} and is {task}"));
        self.check(!was_deleted || deleted, CLUSTER_MOVES, || format!("{id} was deleted and is not"));
        self.look_at_operation(id, row, open);
        if deleted && !was_deleted {
            let rest =
                state.store.instances.values().find(|(_, i)| i.cluster == id && i.lifecycle != Lifecycle::Deleted);
            self.check(rest.is_none(), GONE_IS_GONE, || format!("{id} is deleted, {rest:?} is not"));
        }
        if made && stands && call.name == "finish" {
            self.look_at_what_was_made(state, id);
        }
    }

    fn look_at_operation(&mut self, id: ClusterId, row: &ClusterRow, open: &[&Task]) {
        let (task, operation) = (row.cluster.task, row.cluster.operation);
        let mut open = open.iter().filter(|task| task.cluster == id);
        let (one, more) = (open.next(), open.next());
        let fits = match (one, more) {
            (None, None) => operation.is_none() && task == ClusterTask::None,
            (Some(one), None) => operation == Some(one.id) && task == one.kind.cluster_task(),
            _ => false,
        };
        self.check(fits, ONE_TASK, || {
            format!(
                "{id} says {task} by {operation:?}; open are {:?}",
                [one, more].map(|task| task.map(|task| task.id))
            )
        });
    }

    /// Looks at every ended task in full.
    pub(in crate::sim) fn look_at_ended_tasks(&mut self, tables: &Tables) {
        for row in tables.tasks.values() {
            let end = self.tasks.get(&row.task.id).and_then(|before| before.end.as_ref());
            let same = end.is_none_or(|end| *end == row.task);
            self.check(same, ENDED_IS_ENDED, || format!("{} is {:?}", row.task.id, row.task));
        }
    }

    fn look_at_quota(&mut self, tables: &Tables) {
        for (project, used) in &tables.used {
            let mut sum = (0, 0);
            for (whose, instance) in tables.instances.values() {
                if whose == project && instance.lifecycle != Lifecycle::Deleted {
                    sum = (sum.0 + 1, sum.1 + i64::try_from(instance.volume_gb).unwrap_or(i64::MAX));
                }
            }
            self.check(*used == sum, QUOTA, || format!("{project} uses {used:?}, its rows {sum:?}"));
        }
    }

    fn look_at_what_was_made(&mut self, state: &State, id: ClusterId) {
        let members: Vec<_> = state.store.instances.values().map(|(_, i)| i).filter(|i| i.cluster == id).collect();
        let all: Vec<_> = members.iter().filter_map(|member| member.node_id).collect();
        for member in members {
            let node = state.nodes.get(member.id);
            let wrong = match (node, member.node_id, member.planned_slots) {
                (Some(node), Some(recorded), Some(slots)) => {
                    let others = all.iter().filter(|id| **id != recorded).count();
                    node.id != recorded
                        || node.slots != slots.into()
                        || !node.complete
                        || node.known.len() != others
                        || member.lifecycle != Lifecycle::Complete
                }
                _ => true,
            };
            self.check(!wrong, AS_PLANNED, || format!("{member:?} is on {node:?}"));
        }
    }
}

/// Whether a life may go from one state to another, in one transaction.
fn is_ahead(before: Lifecycle, after: Lifecycle) -> bool {
    before == after || Lifecycle::ALL.into_iter().any(|next| before.may_become(next) && is_ahead(next, after))
}
