//! Removed nodes, and who owes a FORGET.

use std::collections::BTreeSet;

use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::{ClusterId, InstanceId, NodeId, Timestamp};

use super::Tables;
use crate::ports::RemovedNode;

#[derive(Debug, Clone)]
pub(in crate::sim) struct Removed {
    pub(in crate::sim) instance: InstanceId,
    pub(in crate::sim) cluster: ClusterId,
    debtors: BTreeSet<InstanceId>,
    pub(in crate::sim) paid: Option<Timestamp>,
}

impl Removed {
    fn pay(&mut self, debtor: InstanceId, now: Timestamp) {
        if self.debtors.remove(&debtor) && self.debtors.is_empty() {
            self.paid = Some(now);
        }
    }
}

fn is_inside(instance: &Instance) -> bool {
    matches!(instance.lifecycle, Lifecycle::Building | Lifecycle::Complete)
}

impl Tables {
    /// The node of the instance has left its cluster: all others owe, and it owes nothing any more.
    pub(super) fn left(&mut self, id: InstanceId, now: Timestamp) {
        let Some((_, instance)) = self.instances.get_mut(&id).filter(|(_, instance)| is_inside(instance)) else {
            return;
        };
        instance.lifecycle = Lifecycle::Deleting;
        let (cluster, node) = (instance.cluster, instance.node_id);
        self.forgive(id, now);
        let Some(node) = node else { return };
        let others = self.instances.values().map(|(_, instance)| instance);
        let debtors: BTreeSet<InstanceId> =
            others.filter(|i| i.cluster == cluster && is_inside(i) && i.node_id.is_some()).map(|i| i.id).collect();
        let paid = debtors.is_empty().then_some(now);
        self.removed.insert(node, Removed { instance: id, cluster, debtors, paid });
    }

    pub(in crate::sim) fn removed_nodes(&self, cluster: Option<ClusterId>) -> Vec<RemovedNode> {
        let wanted = self.removed.iter().filter(|(_, removed)| cluster.is_none_or(|id| removed.cluster == id));
        let row = |removed: &Removed| self.clusters.get(&removed.cluster);
        wanted
            .map(|(node, removed)| RemovedNode {
                node: *node,
                instance: removed.instance,
                cluster: removed.cluster,
                debtors: removed.debtors.clone(),
                paid: removed.paid,
                generation: row(removed).map(|row| row.token).unwrap_or_default(),
                cluster_deleted: row(removed).is_none_or(|row| row.deleted_at.is_some()),
            })
            .collect()
    }

    pub(in crate::sim::store) fn pay_debts(&mut self, paid: &[(NodeId, InstanceId)], now: Timestamp) {
        for (node, debtor) in paid {
            if let Some(removed) = self.removed.get_mut(node) {
                removed.pay(*debtor, now);
            }
        }
    }

    pub(in crate::sim::store) fn owe_again(&mut self, node: NodeId, debtors: &[InstanceId], now: Timestamp) {
        let Some(removed) = self.removed.get_mut(&node) else { return };
        let rows = debtors.iter().filter_map(|id| self.instances.get(id)).map(|(_, instance)| instance);
        let able = rows.filter(|instance| instance.cluster == removed.cluster && is_inside(instance));
        removed.debtors.extend(able.map(|instance| instance.id));
        if removed.paid.is_some() && !removed.debtors.is_empty() {
            removed.paid = None;
            if let Some((_, instance)) = self.instances.get_mut(&removed.instance) {
                instance.updated = now;
            }
        }
    }

    pub(in crate::sim::store) fn drop_removed_node(&mut self, node: NodeId, paid: Option<Timestamp>) -> bool {
        let Some(removed) = self.removed.get(&node) else { return true };
        let deleted = self.clusters.get(&removed.cluster).is_none_or(|row| row.deleted_at.is_some());
        let drops = deleted || paid.is_some() && removed.paid == paid;
        if drops {
            self.removed.remove(&node);
        }
        drops
    }

    /// What the instance owes that is no longer there to pay vanishes.
    pub(super) fn forgive(&mut self, debtor: InstanceId, now: Timestamp) {
        for removed in self.removed.values_mut() {
            removed.pay(debtor, now);
        }
    }
}
