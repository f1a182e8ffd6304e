//! How every story ends: the storm is over, and nothing needs a hand.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::catalogue::Flavor;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::request::{GrowCluster, Offer, ShrinkCluster, WantedMember};
use redtrove_core::{ClusterId, InstanceId, TaskId};
use tokio::time::sleep;

use super::clients::{TIME_LIMIT, asker, is_idle};
use super::{Stage, lock, tenants};
use crate::ports::Limits;
use crate::sim::State;
use crate::sim::clock::Chance;
use crate::submit::{self, Asker};
use crate::task::TaskState;

/// How often it is looked whether something has come to pass.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest that a call is on its way, that a daemon is stopped, and that a node stays shut after that.
const LAST_ECHOES: Duration = Duration::from_secs(90 + 120);
/// How long it takes until all that is owed is paid, looked at once more and cleared away.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

const TASKS_END: &str = "every task ends by its deadline";
const ALL_IDLE: &str = "a cluster on which no task works is idle";
const SETTLED: &str = "all debts are paid, and nothing stands that no row wants";
const MENDED: &str = "what an operation left can be removed, and the cluster grows";
const WHOLE: &str = "a cluster that was mended is whole";
const DELETED: &str = "every cluster can be deleted";
const NOTHING_LEFT: &str = "nothing is left once every cluster is deleted";

pub(super) async fn run(stage: &Arc<Stage>, mut chance: Chance) {
    end_the_storm(stage, &mut chance);
    let calm_since = stage.sim.elapsed();
    if !stage.eventually(TASKS_END, TIME_LIMIT + LAST_ECHOES, open_tasks).await {
        return;
    }
    if let Some(busy) = busy_cluster(&stage.sim.lock()) {
        return stage.wrong(ALL_IDLE, busy);
    }
    sleep(LAST_ECHOES.saturating_sub(stage.sim.elapsed().saturating_sub(calm_since))).await;
    for (cluster, asker) in stage.clusters() {
        if chance.happens(500) && !stage.mend_cluster(cluster, &asker, &mut chance).await {
            return;
        }
    }
    for (cluster, asker) in stage.clusters() {
        if !stage.delete(cluster, &asker).await {
            return;
        }
    }
    stage.eventually(NOTHING_LEFT, SETTLES_WITHIN, anything).await;
    stage.sim.lock().watched(|watch, state| watch.look_at_ended_tasks(&state.store));
}

fn end_the_storm(stage: &Arc<Stage>, chance: &mut Chance) {
    stage.over.store(true, std::sync::atomic::Ordering::Relaxed);
    stage.happened("calm", || "the storm is over".to_owned());
    let nodes: Vec<InstanceId> = {
        let mut state = stage.sim.lock();
        if let Some(weather) = &mut state.chaos.weather {
            weather.clear();
        }
        state.machines.takes = (Duration::ZERO, Duration::ZERO);
        tenants::go_home(&mut state);
        state.nodes.all().map(|(id, _)| id).collect()
    };
    for node in nodes {
        stage.mend(node);
    }
    let ended: Vec<(usize, String)> = lock(&stage.taskmanagers)
        .iter()
        .enumerate()
        .filter(|(_, daemon)| !daemon.runs)
        .map(|(place, daemon)| (place, daemon.name.clone()))
        .collect();
    for (place, name) in ended {
        stage.start_taskmanager(place, &name, chance);
    }
}

/// A task that has not ended.
fn open_tasks(state: &State) -> Option<String> {
    let open = state.store.tasks.values().map(|row| &row.task).find(|task| !task.state.is_end())?;
    Some(format!("{open:?}"))
}

fn busy_cluster(state: &State) -> Option<String> {
    let mut rows = state.store.clusters.values().map(|row| &row.cluster);
    rows.find(|cluster| !is_idle(cluster)).map(|cluster| format!("{cluster:?}"))
}

/// What stands that no row wants, or is owed.
fn unsettled(state: &State) -> Option<String> {
    let wanted = |id: &InstanceId| {
        let row = state.store.instances.get(id);
        row.is_some_and(|(_, instance)| instance.lifecycle != Lifecycle::Deleted)
    };
    if let Some(machine) = state.machines.ids().into_iter().find(|id| !wanted(id)) {
        return Some(format!("the machine of {machine}"));
    }
    if let Some((node, removed)) = state.store.removed.first_key_value() {
        return Some(format!("node {node}: {removed:?}"));
    }
    state.machines.held().first().map(|held| format!("the address of {held}"))
}

fn anything(state: &State) -> Option<String> {
    let rest = state.store.instances.values().map(|(_, i)| i).find(|i| i.lifecycle != Lifecycle::Deleted);
    if let Some(instance) = rest {
        return Some(format!("{instance:?}"));
    }
    if let Some((project, used)) = state.store.used.iter().find(|(_, used)| **used != (0, 0)) {
        return Some(format!("{project} uses {used:?}"));
    }
    if let Some((id, _)) = state.nodes.all().next() {
        return Some(format!("the node of {id}"));
    }
    unsettled(state)
}

impl Stage {
    /// Waits until `rest` finds nothing any more.
    async fn eventually(
        &self,
        must_be: &'static str,
        within: Duration,
        rest: impl Fn(&State) -> Option<String>,
    ) -> bool {
        let begun = self.sim.elapsed();
        loop {
            if self.is_wrong() {
                return false;
            }
            let Some(found) = rest(&self.sim.lock()) else { return true };
            if self.sim.elapsed().saturating_sub(begun) > within {
                self.wrong(must_be, found);
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The clusters that are not deleted, each with one of its project.
    fn clusters(&self) -> Vec<(ClusterId, Asker)> {
        let world = self.sim.observer();
        let state = self.sim.lock();
        let rows = state.store.clusters.iter().filter(|(_, row)| row.deleted_at.is_none());
        rows.filter_map(|(id, row)| {
            let asker = asker(&world, 0)?;
            Some((*id, Asker { project: row.cluster.project.clone(), ..asker }))
        })
        .collect()
    }

    fn members(&self, cluster: ClusterId) -> Vec<Instance> {
        self.sim.lock().store.cluster(cluster).map(|(_, members)| members).unwrap_or_default()
    }

    async fn ended(&self, must_be: &'static str, task: TaskId) -> Option<TaskState> {
        let state = |state: &State| state.store.tasks.get(&task).map(|row| row.task.state);
        let open =
            |world: &State| state(world).filter(|state| !state.is_end()).map(|state| format!("{task} is {state}"));
        if self.eventually(must_be, TIME_LIMIT + LOOK_EVERY * 10, open).await { state(&self.sim.lock()) } else { None }
    }

    async fn succeeds(&self, must_be: &'static str, task: Option<TaskId>) -> bool {
        let Some(task) = task else {
            self.wrong(must_be, "the request was not taken".to_owned());
            return false;
        };
        self.happened("task", || format!("task {task} has to succeed: {must_be}"));
        let state = self.ended(must_be, task).await;
        if state == Some(TaskState::Succeeded) {
            return true;
        }
        let row = self.sim.lock().store.task(task);
        self.wrong(must_be, format!("{row:?}"));
        false
    }

    async fn delete(&self, cluster: ClusterId, asker: &Asker) -> bool {
        let world = self.sim.observer();
        let task = submit::delete(&*world.store, &*world.clock, asker, cluster).await.ok().flatten();
        self.succeeds(DELETED, task.map(|wake| wake.task)).await
    }

    /// Removes what failed operations left of a cluster that was made, and lets it grow and shrink. True if that is not
    /// to be.
    async fn mend_cluster(&self, cluster: ClusterId, asker: &Asker, chance: &mut Chance) -> bool {
        let is_member = |member: &Instance| {
            let state = self.sim.lock();
            let node = state.nodes.get(member.id);
            member.lifecycle == Lifecycle::Complete
                && node.is_some_and(|node| Some(node.id) == member.node_id && node.left.is_none())
        };
        let stands = self.sim.lock().watch.as_ref().is_some_and(|watch| watch.standing().any(|id| id == cluster));
        let (members, rest): (Vec<_>, Vec<_>) = self.members(cluster).into_iter().partition(is_member);
        if !stands || members.is_empty() {
            return true;
        }
        let rest: Vec<InstanceId> = rest.iter().map(|member| member.id).collect();
        if let Some(to) = members.first() {
            let now = self.sim.elapsed();
            let mut state = self.sim.lock();
            state.nodes.advance(now);
            tenants::drain_all(&mut state, &rest, to.id);
        }
        if !rest.is_empty() && !self.shrink(cluster, asker, &rest).await {
            return false;
        }
        let joiner = if chance.happens(700) { self.grow(cluster, asker).await } else { Some(None) };
        let Some(joiner) = joiner else { return false };
        if let Some(joiner) = joiner.filter(|_| chance.happens(700))
            && !self.shrink(cluster, asker, &[joiner]).await
        {
            return false;
        }
        let paid = |state: &State| unsettled(state).filter(|_| !state.store.removed_nodes(Some(cluster)).is_empty());
        self.eventually(SETTLED, SETTLES_WITHIN, paid).await && self.is_whole(cluster)
    }

    async fn grow(&self, cluster: ClusterId, asker: &Asker) -> Option<Option<InstanceId>> {
        let world = self.sim.observer();
        let flavors =
            [Flavor { id: "1".to_owned(), name: "tiny".to_owned(), ram: 512, vcpus: 1, disk: 1, ephemeral: 0 }];
        let offer = Offer {
            datastores: &self.datastores,
            flavors: &flavors,
            cluster_support: true,
            volume_support: true,
            max_volume_gb: -1,
        };
        let member = WantedMember { flavor: Some("1".to_owned()), volume_gb: Some(2), ..WantedMember::default() };
        let wanted = GrowCluster::check(vec![member], &offer).ok()?;
        let limits = Limits { instances: -1, volumes_gb: -1 };
        let grown = submit::grow(&*world.store, &*world.clock, asker, cluster, &wanted, limits, None).await.ok();
        let task = grown.as_ref().map(|(wake, _, _)| wake.task);
        if !self.succeeds(MENDED, task).await {
            return None;
        }
        Some(grown.and_then(|(_, _, joined)| joined.first().map(|joined| joined.id)))
    }

    async fn shrink(&self, cluster: ClusterId, asker: &Asker, leavers: &[InstanceId]) -> bool {
        let world = self.sim.observer();
        let Ok(wanted) = ShrinkCluster::check(leavers) else { return false };
        let within = Duration::from_secs(9);
        let asked = submit::shrink(&*world.store, &*world.clock, asker, cluster, &wanted, within, None).await;
        self.succeeds(MENDED, asked.ok().map(|wake| wake.task)).await
    }

    /// Whether all members are, know each other and nobody else, and serve all slots.
    fn is_whole(&self, cluster: ClusterId) -> bool {
        let members = self.members(cluster);
        let now = self.sim.elapsed();
        let wrong = {
            let mut state = self.sim.lock();
            state.nodes.advance(now);
            let ids: Vec<_> = members.iter().filter_map(|member| member.node_id).collect();
            let is_wrong = |member: &&Instance| {
                let node = state.nodes.get(member.id);
                let fine = node.is_some_and(|node| {
                    let others = ids.iter().filter(|id| **id != node.id);
                    Some(node.id) == member.node_id
                        && node.is_open(now)
                        && node.known.len() == others.clone().count()
                        && others.clone().all(|id| node.known.contains_key(id))
                });
                !fine || member.lifecycle != Lifecycle::Complete || member.fault.is_some()
            };
            members.iter().find(is_wrong).map(|member| format!("{member:?} is on {:?}", state.nodes.get(member.id)))
        };
        match wrong {
            Some(wrong) => {
                self.wrong(WHOLE, wrong);
                false
            }
            None => true,
        }
    }
}
