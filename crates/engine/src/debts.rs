//! Debts: nodes that were removed from a cluster and that somebody may remember.
//!
//! A member that could not be told of a removal remembers the node, tells the others of it, and so brings it back for
//! good: they refuse to hear of a node for one minute after a FORGET and no longer. So as long as one member owes a
//! FORGET, all members that answer forget the node together, again and again. When all have paid, they are looked at
//! once more after that minute, and only then is the address of the removed node free: a new node there would be
//! taken for the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::topology::NodeView;
use redtrove_core::{ClusterId, InstanceId, NodeId, RequestId, Timestamp};
use tracing::{info, warn};

use crate::World;
use crate::concurrent::all;
use crate::keeper::Chain;
use crate::ports::{Destroyed, Guest, Keep, Order, RemovedNode, Seen, StoreError};

/// From the last payment to the look that confirms it: longer than Redis refuses to hear of a node that it forgot
/// (`CLUSTER_BLACKLIST_TTL`, 60 s).
pub(crate) const SECOND_LOOK: Duration = Duration::from_secs(65);

/// Has debts paid and payments confirmed, as far as that goes now.
pub(crate) async fn settle(world: &World) -> Result<(), StoreError> {
    let mut clusters: BTreeMap<ClusterId, Vec<RemovedNode>> = BTreeMap::new();
    for removed in world.store.removed_nodes(None).await? {
        clusters.entry(removed.cluster).or_default().push(removed);
    }
    if clusters.is_empty() {
        return Ok(());
    }
    let now = world.store.now().await?;
    let settled = clusters.iter().map(|(cluster, removed)| settle_cluster(world, *cluster, removed, now));
    for (result, cluster) in all(settled.collect()).await.into_iter().zip(clusters.keys()) {
        if let Err(error) = result {
            info!(cluster.id = %cluster, error = %Chain(&error), "nodes removed from cluster {cluster} are not settled: {}", Chain(&error));
        }
    }
    Ok(())
}

async fn settle_cluster(
    world: &World,
    cluster: ClusterId,
    removed: &[RemovedNode],
    now: Timestamp,
) -> Result<(), StoreError> {
    let is_due = |node: &RemovedNode| node.paid.is_some_and(|paid| now.since(paid) >= SECOND_LOOK);
    if removed.iter().all(|node| node.paid.is_some() && !is_due(node) && !node.cluster_deleted) {
        return Ok(());
    }
    let Some((_, instances)) = world.store.cluster(cluster).await? else {
        // Nobody is left who could remember.
        return free(world, removed.iter()).await;
    };
    let members: Vec<&Instance> = instances.iter().filter(|instance| may_remember(instance)).collect();
    // Of a cluster that is being deleted, or whose delete failed, nobody can be asked, and all may remember.
    if members.is_empty() {
        return Ok(());
    }
    let views = look(world, &members).await;
    let (mut unsettled, mut confirmed) = (false, Vec::new());
    for node in removed {
        let listing: Vec<InstanceId> =
            views.iter().filter(|(_, view)| view.known().contains(&node.node)).map(|(id, _)| *id).collect();
        if is_due(node) && listing.is_empty() && views.len() == members.len() {
            confirmed.push(node);
        } else if node.paid.is_some() && !listing.is_empty() {
            let (id, count) = (node.node, listing.len());
            warn!(cluster.id = %cluster, "{count} members of cluster {cluster} remember the removed node {id} again");
            world.store.owe_again(id, &listing).await?;
            unsettled = true;
        } else {
            unsettled |= !listing.is_empty() || node.debtors.iter().any(|debtor| views.contains_key(debtor));
        }
    }
    if unsettled {
        burst(world, removed, &members, &views).await?;
    }
    free(world, confirmed.into_iter()).await
}

/// Whether the instance has a node that lists others.
fn may_remember(instance: &Instance) -> bool {
    matches!(instance.lifecycle, Lifecycle::Building | Lifecycle::Complete) && instance.node_id.is_some()
}

/// The views of those members that answer as the nodes that were recorded.
async fn look(world: &World, members: &[&Instance]) -> BTreeMap<InstanceId, NodeView> {
    let view = async |member: &Instance| {
        let guest = guest(member)?;
        match world.guests.topology(&guest).await {
            Ok(Seen::View(view)) if Some(view.myself) == member.node_id => Some((member.id, *view)),
            _ => None,
        }
    };
    all(members.iter().map(|member| view(member)).collect()).await.into_iter().flatten().collect()
}

fn guest(member: &Instance) -> Option<Guest> {
    Some(Guest { instance: member.id, ip: member.ip.clone()? })
}

/// All members that answer forget all removed nodes together; who does has paid.
async fn burst(
    world: &World,
    removed: &[RemovedNode],
    members: &[&Instance],
    views: &BTreeMap<InstanceId, NodeView>,
) -> Result<(), StoreError> {
    let nodes: Vec<NodeId> = removed.iter().map(|node| node.node).collect();
    let generation = removed.iter().map(|node| node.generation).max().unwrap_or_default();
    let order = Order { generation, request: RequestId::new(world.clock.random_id()) };
    let forget = async |member: &Instance| match world.guests.remove_nodes(&guest(member)?, &order, &nodes).await {
        Ok(()) => Some(member.id),
        Err(error) => {
            info!(instance.id = %member.id, %error, "{} has not forgotten removed nodes: {error}", member.name);
            None
        }
    };
    let answering = members.iter().filter(|member| views.contains_key(&member.id));
    let paying: BTreeSet<InstanceId> =
        all(answering.map(|member| forget(member)).collect()).await.into_iter().flatten().collect();
    let paid: Vec<(NodeId, InstanceId)> =
        nodes.iter().flat_map(|node| paying.iter().map(|member| (*node, *member))).collect();
    if paid.is_empty() { Ok(()) } else { world.store.pay_debts(&paid).await }
}

/// Frees what was held back for nodes that nobody remembers, once their machines are gone. The row goes before the
/// address, if it is still as it was before the look: the provider knows no fence, and whoever was paused since may have
/// missed a debt and its payment. An address that is not freed then is an orphan's.
async fn free(world: &World, nodes: impl Iterator<Item = &RemovedNode>) -> Result<(), StoreError> {
    for node in nodes {
        let instance = node.instance;
        let stays = |error: &dyn std::fmt::Display| {
            info!(instance.id = %instance, %error, "the address of instance {instance}, removed, stays held for now: {error}");
        };
        match world.compute.destroy(instance, Keep::Address).await {
            Ok(Destroyed::Gone) => {}
            Ok(Destroyed::Going) => continue,
            Err(error) => {
                stays(&error);
                continue;
            }
        }
        if !world.store.drop_removed_node(node.node, node.paid).await? {
            continue;
        }
        if let Err(error) = world.compute.destroy(instance, Keep::Nothing).await {
            stays(&error);
        }
    }
    Ok(())
}
