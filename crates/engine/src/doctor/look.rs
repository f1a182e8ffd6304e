//! What the doctor sees: rows, machines and nodes at about the same time.

use std::collections::{BTreeMap, BTreeSet};

use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::topology::NodeView;
use redtrove_core::{InstanceId, NodeId, TaskId};

use super::DoctorError;
use crate::World;
use crate::concurrent::all;
use crate::ports::{Guest, OpenTask, Orphan, RemovedNode, Seen, UsageDifference, Watched};
use crate::task::Task;

/// How many clusters are read at a time.
const PAGE: u32 = 200;

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) watched: Watched,
    /// Clusters that are not deleted, with their instances that are not.
    pub(super) clusters: Vec<(Cluster, Vec<Instance>)>,
    /// The tasks that busy clusters name.
    pub(super) operations: BTreeMap<TaskId, Task>,
    pub(super) open_tasks: Vec<OpenTask>,
    pub(super) left_behind: Vec<Instance>,
    pub(super) usages: Vec<UsageDifference>,
    pub(super) removed: Vec<RemovedNode>,
    pub(super) old_debts: BTreeSet<NodeId>,
    /// Whatever the provider has something for.
    pub(super) machines: BTreeSet<InstanceId>,
    pub(super) deleted_machines: BTreeSet<InstanceId>,
    pub(super) unknown_machines: BTreeSet<InstanceId>,
    pub(super) orphans: Vec<Orphan>,
    /// What the nodes of idle clusters see, those that answer.
    pub(super) views: BTreeMap<InstanceId, NodeView>,
}

/// Looks. The provider comes before the rows: a machine is made after its row was committed.
pub(super) async fn look(world: &World) -> Result<Picture, DoctorError> {
    let store = &world.store;
    let machines = world.compute.list().await?;
    let removed = store.removed_nodes(None).await?;
    let mut clusters = Vec::new();
    loop {
        let after = clusters.last().map(|(cluster, _): &(Cluster, Vec<Instance>)| cluster.id);
        let page = store.operator_clusters(Some(false), after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        clusters.extend(page.into_iter().map(|found| (found.cluster, found.instances)));
    }
    let mut operations = BTreeMap::new();
    for id in clusters.iter().filter_map(|(cluster, _)| cluster.operation) {
        operations.extend(store.task(id).await?.map(|task| (id, task)));
    }
    let idle = clusters.iter().filter(|(cluster, _)| cluster.task == ClusterTask::None);
    let members = idle.flat_map(|(_, instances)| instances).filter(|i| i.lifecycle == Lifecycle::Complete);
    let views = all(members.map(|member| view(world, member)).collect()).await.into_iter().flatten().collect();
    Ok(Picture {
        watched: store.watched().await?,
        operations,
        open_tasks: store.open_tasks().await?,
        left_behind: store.left_behind().await?,
        usages: store.usage_differences().await?,
        removed,
        old_debts: store.old_debts(super::judge::DEBTS_PAID_WITHIN).await?.into_iter().collect(),
        deleted_machines: store.deleted_among(&machines).await?,
        unknown_machines: store.unknown_among(&machines).await?,
        machines: machines.into_iter().collect(),
        orphans: store.orphans().await?,
        views,
        clusters,
    })
}

/// One that does not answer is the monitor's to tell.
async fn view(world: &World, member: &Instance) -> Option<(InstanceId, NodeView)> {
    let guest = Guest { instance: member.id, ip: member.ip.clone()? };
    match world.guests.topology(&guest).await {
        Ok(Seen::View(view)) => Some((member.id, *view)),
        _ => None,
    }
}
