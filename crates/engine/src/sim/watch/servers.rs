//! The nodes: what our calls may do to them.

use redtrove_core::{ClusterId, SlotSet};

use super::Watch;
use crate::sim::{Call, State};

const OLD_ORDERS: &str = "a guest obeys no older generation than it obeyed before";
const ONE_COMMANDS: &str = "a guest obeys one runner of a generation";
const STRANGERS: &str = "a node knows none of another cluster";
const TWO_OWNERS: &str = "no slot has two owners";
const NO_OWNER: &str = "every slot of a cluster that was made has an owner";
const HELD: &str = "the address of a removed node is nobody's until all have forgotten it";
const KEYS_LOST: &str = "keys that tenants were told of are where they were";

impl Watch {
    pub(super) fn look_at_order(&mut self, state: &State, who: u32, call: &Call, done: bool) {
        let (Some(instance), Some(generation)) = (call.instance, call.token) else { return };
        if !done {
            let newer = state.nodes.get(instance).is_some_and(|node| node.generation > generation);
            self.tally.fenced_by_guests += u64::from(newer);
            return;
        }
        if let Some((highest, commander)) = self.obeyed.get(&instance).copied() {
            self.check(generation >= highest, OLD_ORDERS, || {
                format!("{instance} did {} for #{who} as {generation}, after {highest}", call.name)
            });
            // Whoever watches has debts paid beside the runner, which changes nothing that a runner does.
            let same = generation != highest || who == commander || call.name == "remove_nodes";
            self.check(same, ONE_COMMANDS, || {
                format!("{instance} did {} for #{who} as {generation}, as #{commander} commanded", call.name)
            });
        }
        if call.name != "remove_nodes" {
            self.obeyed.insert(instance, (generation, who));
        }
    }

    /// Looks at whom the provider gave addresses.
    pub(super) fn look_at_addresses(&mut self, state: &State) {
        for (node, removed) in &state.store.removed {
            // It is free once its row is gone; a delete frees all at once.
            let stands = self.clusters.get(&removed.cluster).is_some_and(|before| before.stands);
            if !stands {
                continue;
            }
            let row = state.store.instances.get(&removed.instance);
            let Some(ip) = row.and_then(|(_, instance)| instance.ip.as_deref()) else { continue };
            let holder = state.machines.at(ip).filter(|holder| *holder != removed.instance);
            self.check(holder.is_none(), HELD, || format!("{ip} was that of node {node} and is that of {holder:?}"));
        }
    }

    /// Looks at the nodes, if any was changed.
    pub(in crate::sim) fn look_at_nodes(&mut self, state: &State) {
        if self.nodes_seen == state.nodes.version() {
            return;
        }
        self.nodes_seen = state.nodes.version();
        for (_, node) in state.nodes.all() {
            self.homes.insert(node.id, node.cluster);
        }
        for (_, node) in state.nodes.all() {
            let stranger = node.known.keys().find(|id| self.homes.get(id).is_some_and(|home| *home != node.cluster));
            let home = stranger.and_then(|id| self.homes.get(id)).copied();
            self.check(stranger.is_none(), STRANGERS, || {
                format!("{} of cluster {} knows {stranger:?} of {home:?}", node.id, node.cluster)
            });
        }
        let standing: Vec<_> = self.clusters.iter().filter(|(_, before)| before.stands).map(|(id, _)| *id).collect();
        for cluster in standing {
            self.look_at_slots(state, cluster);
        }
    }

    fn look_at_slots(&mut self, state: &State, cluster: ClusterId) {
        let nodes = || state.nodes.all().map(|(_, node)| node).filter(|node| node.cluster == cluster);
        let (mut all, mut count) = (SlotSet::empty(), 0);
        for node in nodes() {
            count += node.slots.count();
            all = all.union(&node.slots);
        }
        let covered = all.count();
        self.check(count == covered, TWO_OWNERS, || {
            format!("of cluster {cluster} {covered} slots have {count} owners")
        });
        let every = u32::from(redtrove_core::slots::SLOT_COUNT);
        self.check(covered == every, NO_OWNER, || format!("of cluster {cluster} {covered} slots have an owner"));
        let Some(told) = self.acknowledged.get(&cluster) else { return };
        let lost = told.iter().find_map(|(slot, keys)| {
            let found: u64 = nodes().filter_map(|node| node.acknowledged.get(slot)).sum();
            (found != *keys).then_some((*slot, *keys, found))
        });
        self.check(lost.is_none(), KEYS_LOST, || format!("cluster {cluster}: slot, told of, found: {lost:?}"));
    }

    /// A tenant was told that keys were written.
    pub(in crate::sim) fn acknowledge(&mut self, cluster: ClusterId, slot: u16, keys: u64) {
        *self.acknowledged.entry(cluster).or_default().entry(slot).or_default() += keys;
    }

    /// The clusters that were made and that nobody has asked to delete.
    pub(in crate::sim) fn standing(&self) -> impl Iterator<Item = ClusterId> {
        self.clusters.iter().filter(|(_, before)| before.stands).map(|(id, _)| *id)
    }
}
