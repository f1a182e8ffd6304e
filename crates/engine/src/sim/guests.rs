//! Agents and their redis-servers, with the part of Redis Cluster that matters for forming one: handshakes that
//! take time, gossip that takes more, and slots that are taken by whoever asks first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::instance::RedisState;
use redtrove_core::plan::Joining;
use redtrove_core::topology::{NodeAddress, NodeLine, NodeView, Reach};
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotRange, SlotSet};

use super::chaos::Trouble;
use super::{Incarnation, State};
use crate::ports::{Guest, GuestError, GuestStatus, Guests, Order, PrepareSpec, Seen};

/// How long a handshake takes.
const HANDSHAKE: Duration = Duration::from_millis(150);
/// How long a node refuses to hear of one that it forgot.
const BAN: Duration = Duration::from_secs(60);
/// How long a node that was closed to tenants stays so.
const CLOSED: Duration = Duration::from_secs(120);
/// How long a node knows another before it passes on what it knows.
const GOSSIP: Duration = Duration::from_millis(200);

/// A redis-server in the simulated world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its node id.
    pub id: NodeId,
    /// The cluster it was prepared for.
    pub cluster: ClusterId,
    /// The slots it owns.
    pub slots: SlotSet,
    /// Its configuration epoch.
    pub epoch: u64,
    /// Tenants are let in.
    pub complete: bool,
    /// The highest generation its agent has seen.
    pub generation: u64,
    /// How many keys it holds.
    pub keys: u64,
    /// The other nodes it knows, each since when.
    pub known: BTreeMap<NodeId, Duration>,
    /// It is cut off: its agent does not answer, and no other node hears of it.
    pub down: bool,
    /// Slots on their way out, with their target.
    pub migrating: Vec<(u16, NodeId)>,
    /// Slots on their way in, with their source.
    pub importing: Vec<(u16, NodeId)>,
    /// Closed to tenants until then.
    pub closed_until: Option<Duration>,
    /// It left its cluster; the id that it had there.
    pub left: Option<NodeId>,
    /// Nodes that it forgot, and until when it does not hear of them.
    banned: BTreeMap<NodeId, Duration>,
    /// Handshakes that it began: with which address, and when.
    handshakes: BTreeMap<String, Duration>,
    ip: String,
    started: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_instance: BTreeMap<InstanceId, Node>,
    made: u32,
}

impl Nodes {
    pub(super) fn get(&self, instance: InstanceId) -> Option<Node> {
        self.by_instance.get(&instance).cloned()
    }

    pub(super) fn change(&mut self, instance: InstanceId, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.by_instance.get_mut(&instance) {
            change(node);
        }
    }

    pub(super) fn remove(&mut self, instance: InstanceId) {
        self.by_instance.remove(&instance);
    }

    fn new_id(&mut self) -> Option<NodeId> {
        self.made += 1;
        format!("{:040x}", self.made).parse().ok()
    }

    /// Lets handshakes end and gossip spread up to `now`.
    fn advance(&mut self, now: Duration) {
        let up = |node: &&Node| !node.down;
        let addresses: BTreeMap<String, NodeId> =
            self.by_instance.values().filter(up).map(|node| (node.ip.clone(), node.id)).collect();
        let mut learned: Vec<(NodeId, NodeId, Duration)> = Vec::new();
        for node in self.by_instance.values_mut().filter(|node| !node.down) {
            let (ended, open) =
                std::mem::take(&mut node.handshakes).into_iter().partition(|(_, begun)| now >= *begun + HANDSHAKE);
            node.handshakes = open;
            for (ip, begun) in ended {
                // Nobody at that address: the handshake is dropped, as Redis does.
                if let Some(peer) = addresses.get(&ip) {
                    learned.push((node.id, *peer, begun + HANDSHAKE));
                    learned.push((*peer, node.id, begun + HANDSHAKE));
                }
            }
        }
        self.learn(&learned, now);
        // A node that two know becomes known among the three; again until nothing new is learned.
        loop {
            let mut learned = Vec::new();
            for node in self.by_instance.values().filter(up) {
                for (peer, since) in &node.known {
                    let heard = *since + GOSSIP;
                    let peer = self.by_instance.values().filter(up).find(|other| other.id == *peer);
                    // A peer speaks to those it knows itself.
                    let Some(peer) = peer.filter(|peer| peer.known.contains_key(&node.id)) else { continue };
                    if now < heard {
                        continue;
                    }
                    learned.extend(peer.known.keys().map(|id| (node.id, *id, heard)));
                }
            }
            if !self.learn(&learned, now) {
                return;
            }
        }
    }

    fn learn(&mut self, learned: &[(NodeId, NodeId, Duration)], now: Duration) -> bool {
        let mut news = false;
        for (who, whom, when) in learned {
            let Some(node) = self.by_instance.values_mut().find(|node| node.id == *who) else { continue };
            let banned = node.banned.get(whom).is_some_and(|until| now < *until);
            if who != whom && !banned && !node.known.contains_key(whom) {
                node.known.insert(*whom, *when);
                news = true;
            }
        }
        news
    }

    fn view(&self, node: &Node, now: Duration) -> NodeView {
        let peers = self.by_instance.values().filter(|other| other.id == node.id || node.known.contains_key(&other.id));
        let mut nodes: Vec<NodeLine> = peers
            .map(|other| {
                // What a peer owns is heard a moment after the peer itself.
                let heard = node.known.get(&other.id).is_none_or(|since| now >= *since + GOSSIP);
                let slots = if heard { other.slots.clone() } else { SlotSet::empty() };
                line(other.id, &other.ip, other.id == node.id, other.epoch, slots)
            })
            .collect();
        // Whoever is gone, or goes by another id by now, stays known until somebody says to forget it.
        let missing: Vec<NodeId> =
            node.known.keys().filter(|id| nodes.iter().all(|line| line.id != **id)).copied().collect();
        nodes.extend(missing.into_iter().map(|id| NodeLine {
            reach: Reach::Failed,
            connected: false,
            ..line(id, "", false, 0, SlotSet::empty())
        }));
        if let Some(own) = nodes.iter_mut().find(|line| line.myself) {
            own.migrating.clone_from(&node.migrating);
            own.importing.clone_from(&node.importing);
        }
        for (n, ip) in node.handshakes.keys().enumerate() {
            if let Ok(placeholder) = format!("{:f>40x}", n + 1).parse() {
                nodes.push(NodeLine {
                    handshake: true,
                    master: false,
                    ..line(placeholder, ip, false, 0, SlotSet::empty())
                });
            }
        }
        let covered: u32 = nodes.iter().map(|line| line.slots.count()).sum();
        NodeView {
            myself: node.id,
            nodes,
            state_ok: covered == u32::from(redtrove_core::slots::SLOT_COUNT),
            keys: node.keys,
            uptime_seconds: now.saturating_sub(node.started).as_secs(),
            complete: node.complete,
            closed_for: node.closed_until.filter(|until| now < *until).map(|until| until.saturating_sub(now)),
            left: node.left,
        }
    }
}

fn line(id: NodeId, ip: &str, myself: bool, config_epoch: u64, slots: SlotSet) -> NodeLine {
    let address = NodeAddress { ip: ip.to_owned(), port: 6379, bus_port: Some(16379), hostname: None };
    NodeLine {
        id,
        address,
        myself,
        master: true,
        replicates: None,
        reach: Reach::Fine,
        handshake: false,
        noaddr: false,
        config_epoch,
        connected: true,
        slots,
        migrating: Vec::new(),
        importing: Vec::new(),
    }
}

/// [`Guests`] of a simulated world.
#[derive(Debug, Clone)]
pub struct SimGuests(pub(super) Incarnation);

fn fail<T>(trouble: Trouble) -> Result<T, GuestError> {
    Err(match trouble {
        Trouble::Transient => GuestError::Silent("simulated".to_owned()),
        Trouble::Permanent => GuestError::Refused("simulated".to_owned()),
    })
}

impl State {
    /// The agent answers if its machine exists at the address.
    fn guest(&self, guest: &Guest) -> Result<(), GuestError> {
        let down = self.nodes.by_instance.get(&guest.instance).is_some_and(|node| node.down);
        if self.machines.has(guest.instance, &guest.ip) && !down {
            Ok(())
        } else {
            Err(GuestError::Silent("no machine".to_owned()))
        }
    }

    /// The node of a guest, for a change in the name of `order`.
    fn node_for_change(&mut self, guest: &Guest, order: &Order) -> Result<&mut Node, GuestError> {
        self.guest(guest)?;
        let node = self.nodes.by_instance.get_mut(&guest.instance);
        let node = node.ok_or_else(|| GuestError::Refused("not prepared".to_owned()))?;
        if order.generation < node.generation {
            return Err(GuestError::OldGeneration { seen: node.generation });
        }
        node.generation = order.generation;
        Ok(node)
    }

    fn prepare(&mut self, guest: &Guest, order: &Order, spec: &PrepareSpec, now: Duration) -> Result<(), GuestError> {
        self.guest(guest)?;
        if self.nodes.by_instance.contains_key(&guest.instance) {
            let node = self.node_for_change(guest, order)?;
            let same = node.cluster == spec.cluster;
            return if same { Ok(()) } else { Err(GuestError::Refused("another cluster".to_owned())) };
        }
        let id = self.nodes.new_id().ok_or_else(|| GuestError::Refused("no more ids".to_owned()))?;
        let node = Node {
            id,
            cluster: spec.cluster,
            slots: SlotSet::empty(),
            epoch: 0,
            complete: false,
            generation: order.generation,
            keys: 0,
            known: BTreeMap::new(),
            down: false,
            migrating: Vec::new(),
            importing: Vec::new(),
            closed_until: None,
            left: None,
            banned: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            ip: guest.ip.clone(),
            started: now,
        };
        self.nodes.by_instance.insert(guest.instance, node);
        Ok(())
    }

    /// The node of a guest for a change, if it is `wanted`.
    fn this_node(&mut self, guest: &Guest, order: &Order, wanted: NodeId) -> Result<&mut Node, GuestError> {
        let node = self.node_for_change(guest, order)?;
        if node.id == wanted { Ok(node) } else { Err(GuestError::Refused("another node".to_owned())) }
    }

    fn leave(&mut self, guest: &Guest, order: &Order, wanted: NodeId, now: Duration) -> Result<(), GuestError> {
        if self.node_for_change(guest, order)?.left == Some(wanted) {
            return Ok(());
        }
        let new_id = self.nodes.new_id().ok_or_else(|| GuestError::Refused("no more ids".to_owned()))?;
        let node = self.this_node(guest, order, wanted)?;
        let shut = !node.complete || node.closed_until.is_some_and(|until| now < until);
        if !shut || !node.slots.is_empty() || !node.migrating.is_empty() || !node.importing.is_empty() {
            return Err(GuestError::Refused("it is open, or has slots".to_owned()));
        }
        node.left = Some(wanted);
        node.id = new_id;
        node.known.clear();
        node.banned.clear();
        node.handshakes.clear();
        node.keys = 0;
        node.epoch = 0;
        Ok(())
    }

    fn add_slots(&mut self, guest: &Guest, order: &Order, want: &AddSlots) -> Result<(), GuestError> {
        let node = self.node_for_change(guest, order)?;
        let refuse = |why: &str| Err(GuestError::Refused(why.to_owned()));
        if node.id != want.node {
            return refuse("another node");
        }
        let slots = SlotSet::from(want.slots);
        if node.slots == slots && node.epoch == want.epoch {
            return Ok(());
        }
        if node.complete {
            return refuse("complete");
        }
        if ![0, want.epoch].contains(&node.epoch) || (node.epoch == 0 && !node.known.is_empty()) {
            return refuse("the epoch cannot be set");
        }
        if !node.slots.is_subset(&slots) {
            return refuse("it owns other slots");
        }
        node.epoch = want.epoch;
        node.slots = slots;
        Ok(())
    }
}

struct AddSlots {
    node: NodeId,
    slots: SlotRange,
    epoch: u64,
}

#[async_trait]
impl Guests for SimGuests {
    async fn status(&self, guest: &Guest) -> Result<GuestStatus, GuestError> {
        let effect = |state: &mut State, _| {
            state.guest(guest)?;
            let node = state.nodes.by_instance.get(&guest.instance);
            let standing: BTreeSet<NodeId> = state.nodes.by_instance.values().map(|node| node.id).collect();
            let known = node.iter().flat_map(|node| node.known.keys());
            Ok(GuestStatus {
                redis: if node.is_some() { RedisState::Running } else { RedisState::Unknown },
                volume_used_bytes: 1,
                slots: node.map(|node| node.slots.clone()).unwrap_or_default(),
                node: node.map(|node| node.id),
                failed: known.filter(|id| !standing.contains(id)).copied().collect(),
            })
        };
        self.0.call("status", effect, fail).await
    }

    async fn topology(&self, guest: &Guest) -> Result<Seen, GuestError> {
        let effect = |state: &mut State, now| {
            state.guest(guest)?;
            state.nodes.advance(now);
            let node = state.nodes.by_instance.get(&guest.instance);
            Ok(node.map_or(Seen::Unprepared, |node| Seen::View(Box::new(state.nodes.view(node, now)))))
        };
        self.0.call("topology", effect, fail).await
    }

    async fn prepare(&self, guest: &Guest, order: &Order, spec: &PrepareSpec) -> Result<(), GuestError> {
        self.0.call("prepare", |state, now| state.prepare(guest, order, spec, now), fail).await
    }

    async fn add_slots(
        &self,
        guest: &Guest,
        order: &Order,
        node: NodeId,
        slots: SlotRange,
        epoch: u64,
        _: Duration,
    ) -> Result<(), GuestError> {
        let want = AddSlots { node, slots, epoch };
        self.0.call("add_slots", |state, _| state.add_slots(guest, order, &want), fail).await
    }

    async fn meet(
        &self,
        guest: &Guest,
        order: &Order,
        ip: &str,
        _: u16,
        joining: Option<Joining>,
    ) -> Result<(), GuestError> {
        let effect = |state: &mut State, now| {
            let peer = state.machines.at(ip).and_then(|peer| state.nodes.get(peer)).map(|peer| peer.id);
            let node = match joining {
                Some(joining) => state.this_node(guest, order, joining.node)?,
                None => state.node_for_change(guest, order)?,
            };
            if peer.is_none_or(|peer| !node.known.contains_key(&peer)) {
                node.handshakes.entry(ip.to_owned()).or_insert(now);
            }
            Ok(())
        };
        self.0.call("meet", effect, fail).await
    }

    async fn complete(&self, guest: &Guest, order: &Order) -> Result<(), GuestError> {
        let effect = |state: &mut State, _| {
            state.node_for_change(guest, order)?.complete = true;
            Ok(())
        };
        self.0.call("complete", effect, fail).await
    }

    async fn close(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        let effect = |state: &mut State, now| {
            let node = state.this_node(guest, order, node)?;
            if !node.complete {
                return Err(GuestError::Refused("not complete".to_owned()));
            }
            node.closed_until = Some(now + CLOSED);
            Ok(())
        };
        self.0.call("close", effect, fail).await
    }

    async fn reopen(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        let effect = |state: &mut State, _| {
            state.this_node(guest, order, node)?.closed_until = None;
            Ok(())
        };
        self.0.call("reopen", effect, fail).await
    }

    async fn leave(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        self.0.call("leave", |state, now| state.leave(guest, order, node, now), fail).await
    }

    async fn remove_nodes(&self, guest: &Guest, order: &Order, nodes: &[NodeId]) -> Result<(), GuestError> {
        let effect = |state: &mut State, now: Duration| {
            // What it heard until now it has heard; from now on it does not listen.
            state.nodes.advance(now);
            let node = state.node_for_change(guest, order)?;
            for forgotten in nodes.iter().filter(|forgotten| **forgotten != node.id) {
                node.known.remove(forgotten);
                node.banned.insert(*forgotten, now + BAN);
            }
            Ok(())
        };
        self.0.call("remove_nodes", effect, fail).await
    }

    fn forget(&self, _: InstanceId) {}
}
