//! redis-servers, with the part of Redis Cluster that matters for the engine: handshakes that take time, gossip that
//! takes more, slots that are taken by whoever asks first, and what a node believes of others while it cannot hear
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use redtrove_core::topology::{NodeAddress, NodeLine, NodeView, Reach};
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotSet};

/// How long a handshake takes.
const HANDSHAKE: Duration = Duration::from_millis(150);
/// How long a handshake with nobody is tried.
const HANDSHAKE_GIVES_UP: Duration = Duration::from_secs(1);
/// How long a node refuses to hear of one that it forgot.
pub(super) const BAN: Duration = Duration::from_secs(60);
/// How long a node that was closed to tenants stays so.
pub(super) const CLOSED: Duration = Duration::from_secs(120);
/// How long a node knows another before it passes on what it knows.
const GOSSIP: Duration = Duration::from_millis(200);
/// How long a node is away before the others hold it for failed.
const FAILS: Duration = Duration::from_secs(15);

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
    /// How many keys it holds that nobody was told of.
    pub keys: u64,
    /// How many keys it holds that a tenant was told of, by slot.
    pub acknowledged: BTreeMap<u16, u64>,
    /// The other nodes it knows, each since when.
    pub known: BTreeMap<NodeId, Duration>,
    /// It is cut off: its agent does not answer, and no other node hears of it.
    pub down: bool,
    /// Its agent answers nobody; the node itself serves.
    pub silent: bool,
    /// Its redis-server does not run; its agent answers.
    pub stopped: bool,
    /// Slots on their way out, with their target.
    pub migrating: Vec<(u16, NodeId)>,
    /// Slots on their way in, with their source.
    pub importing: Vec<(u16, NodeId)>,
    /// Closed to tenants until then.
    pub closed_until: Option<Duration>,
    /// It left its cluster; the id that it had there.
    pub left: Option<NodeId>,
    /// What it last heard others to own.
    pub(super) heard: BTreeMap<NodeId, SlotSet>,
    /// Nodes that it forgot, and until when it does not hear of them.
    pub(super) banned: BTreeMap<NodeId, Duration>,
    /// Handshakes that it began: with which address, and when.
    pub(super) handshakes: BTreeMap<String, Duration>,
    pub(super) ip: String,
    pub(super) started: Duration,
    /// Since when no other node hears of it.
    pub(super) away_since: Option<Duration>,
    /// Its redis-server was started again.
    pub(super) was_away: bool,
}

impl Node {
    /// A node that was never touched.
    pub(super) fn fresh(id: NodeId, cluster: ClusterId, ip: &str, generation: u64, now: Duration) -> Self {
        Self {
            id,
            cluster,
            slots: SlotSet::empty(),
            epoch: 0,
            complete: false,
            generation,
            keys: 0,
            acknowledged: BTreeMap::new(),
            known: BTreeMap::new(),
            down: false,
            silent: false,
            stopped: false,
            migrating: Vec::new(),
            importing: Vec::new(),
            closed_until: None,
            left: None,
            heard: BTreeMap::new(),
            banned: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            ip: ip.to_owned(),
            started: now,
            away_since: None,
            was_away: false,
        }
    }

    /// Whether other nodes hear of it.
    pub(super) fn is_up(&self) -> bool {
        !self.down && !self.stopped
    }

    /// Whether tenants are served.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        self.is_up() && self.complete && self.left.is_none() && self.closed_until.is_none_or(|until| until <= now)
    }

    /// How many keys it holds.
    pub(super) fn all_keys(&self) -> u64 {
        self.keys + self.acknowledged.values().sum::<u64>()
    }

    /// Its redis-server starts: what it kept on its disk is there, what it had in mind is not.
    pub(super) fn start(&mut self, now: Duration) {
        (self.down, self.stopped, self.away_since, self.started) = (false, false, None, now);
        self.was_away = true;
        self.banned.clear();
        self.handshakes.clear();
    }

    fn hear(&mut self, peer: NodeId, slots: SlotSet) {
        for (other, theirs) in &mut self.heard {
            if *other != peer && theirs.intersects(&slots) {
                *theirs = theirs.clone().without(&slots);
            }
        }
        self.heard.insert(peer, slots);
    }
}

/// Every node there is.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    by_instance: BTreeMap<InstanceId, Node>,
    made: u32,
    /// Somebody may have changed a node since the last look, so gossip may have something to tell.
    touched: bool,
    /// The first moment at which something happens by itself.
    next: Option<Duration>,
    /// Grows with every change.
    version: u64,
}

impl Nodes {
    pub(super) fn get(&self, instance: InstanceId) -> Option<&Node> {
        self.by_instance.get(&instance)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (InstanceId, &Node)> {
        self.by_instance.iter().map(|(id, node)| (*id, node))
    }

    /// A node to be changed.
    pub(super) fn touch(&mut self, instance: InstanceId) -> Option<&mut Node> {
        self.touched = true;
        self.version += 1;
        self.by_instance.get_mut(&instance)
    }

    /// How often anything was changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn insert(&mut self, instance: InstanceId, node: Node) {
        self.touched = true;
        self.version += 1;
        self.by_instance.insert(instance, node);
    }

    pub(super) fn remove(&mut self, instance: InstanceId) {
        self.touched = true;
        self.version += 1;
        self.by_instance.remove(&instance);
    }

    /// An id that no node ever had.
    pub(super) fn new_id(&mut self) -> Option<NodeId> {
        self.made += 1;
        format!("{:040x}", self.made).parse().ok()
    }

    /// Lets handshakes end and gossip spread up to `now`. To be called before anything changes, as what was to happen
    /// until then happened among those who were there.
    pub(super) fn advance(&mut self, now: Duration) {
        if !self.touched && self.next.is_none_or(|next| now < next) {
            return;
        }
        self.shake_hands(now);
        while self.gossip(now) {}
        self.touched = false;
        let times = self.by_instance.values().flat_map(|node| {
            let handshakes = node.handshakes.values().map(|begun| *begun + HANDSHAKE);
            let gossip = node.known.values().map(|since| *since + GOSSIP);
            handshakes
                .map(move |at| at.max(now + Duration::from_millis(1)))
                .chain(gossip)
                .chain(node.banned.values().copied())
        });
        self.next = times.filter(|at| *at > now).min();
    }

    fn shake_hands(&mut self, now: Duration) {
        if self.by_instance.values().all(|node| node.handshakes.is_empty()) {
            return;
        }
        let up = self.by_instance.values().filter(|node| node.is_up());
        let addresses: BTreeMap<String, NodeId> = up.map(|node| (node.ip.clone(), node.id)).collect();
        let mut learned: Vec<(NodeId, NodeId, Duration)> = Vec::new();
        for node in self.by_instance.values_mut().filter(|node| node.is_up()) {
            for (ip, begun) in std::mem::take(&mut node.handshakes) {
                let peer = addresses.get(&ip).filter(|_| now >= begun + HANDSHAKE);
                if let Some(peer) = peer {
                    learned.push((node.id, *peer, begun + HANDSHAKE));
                    learned.push((*peer, node.id, begun + HANDSHAKE));
                } else if now < begun + HANDSHAKE_GIVES_UP {
                    node.handshakes.insert(ip, begun);
                }
            }
        }
        for (who, whom, when) in learned {
            if let Some(node) = self.by_instance.values_mut().find(|node| node.id == who) {
                learn(node, whom, when, now);
                self.version += 1;
            }
        }
    }

    /// One round: whoever hears another learns whom it knows and what it owns. False if nobody learned of anybody new.
    fn gossip(&mut self, now: Duration) -> bool {
        let up: BTreeMap<NodeId, &Node> =
            self.by_instance.values().filter(|node| node.is_up()).map(|node| (node.id, node)).collect();
        let mut learned = Vec::new();
        let mut heard = Vec::new();
        for (instance, node) in self.by_instance.iter().filter(|(_, node)| node.is_up()) {
            for (id, since) in &node.known {
                let told = *since + GOSSIP;
                // A peer speaks to those it knows itself.
                let Some(peer) = up.get(id).filter(|peer| now >= told && peer.known.contains_key(&node.id)) else {
                    continue;
                };
                let news = peer.known.keys().filter(|whom| **whom != node.id && !node.known.contains_key(whom));
                learned.extend(news.map(|whom| (*instance, *whom, told)));
                if node.heard.get(id) != Some(&peer.slots) {
                    heard.push((*instance, *id, peer.slots.clone()));
                }
            }
        }
        for (instance, peer, slots) in heard {
            if let Some(node) = self.by_instance.get_mut(&instance) {
                node.hear(peer, slots);
            }
        }
        let mut news = false;
        for (instance, whom, when) in learned {
            if let Some(node) = self.by_instance.get_mut(&instance) {
                news |= learn(node, whom, when, now);
                self.version += 1;
            }
        }
        news
    }

    /// The nodes that this one holds for failed.
    pub(super) fn failed(&self, node: &Node, now: Duration) -> Vec<NodeId> {
        node.known.keys().filter(|id| self.has_failed(**id, now)).copied().collect()
    }

    fn has_failed(&self, id: NodeId, now: Duration) -> bool {
        let node = self.by_instance.values().find(|node| node.id == id);
        node.is_none_or(|node| node.away_since.is_some_and(|since| now >= since + FAILS))
    }

    pub(super) fn view(&self, node: &Node, now: Duration) -> NodeView {
        let known = self.by_instance.values().filter(|other| other.id == node.id || node.known.contains_key(&other.id));
        let mut nodes: Vec<NodeLine> = known
            .map(|other| {
                let myself = other.id == node.id;
                let heard = || node.heard.get(&other.id).cloned().unwrap_or_default();
                let slots = if myself { node.slots.clone() } else { heard() };
                let reach = if !myself && self.has_failed(other.id, now) { Reach::Failed } else { Reach::Fine };
                NodeLine { reach, ..line(other.id, &other.ip, myself, other.epoch, slots) }
            })
            .collect();
        // Whoever is gone, or goes by another id by now, stays known until somebody says to forget it.
        let missing: Vec<NodeId> =
            node.known.keys().filter(|id| nodes.iter().all(|line| line.id != **id)).copied().collect();
        nodes.extend(missing.into_iter().map(|id| NodeLine {
            reach: Reach::Failed,
            connected: false,
            ..line(id, "", false, 0, node.heard.get(&id).cloned().unwrap_or_default())
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
        let serving = nodes.iter().filter(|line| line.reach != Reach::Failed);
        let covered: u32 = serving.map(|line| line.slots.count()).sum();
        NodeView {
            myself: node.id,
            nodes,
            state_ok: covered == u32::from(redtrove_core::slots::SLOT_COUNT),
            keys: node.all_keys(),
            uptime_seconds: now.saturating_sub(node.started).as_secs(),
            complete: node.complete,
            closed_for: node.closed_until.filter(|until| now < *until).map(|until| until.saturating_sub(now)),
            left: node.left,
        }
    }
}

/// The node learns of another, unless it refuses to; false if it does not.
fn learn(node: &mut Node, whom: NodeId, when: Duration, now: Duration) -> bool {
    let banned = node.banned.get(&whom).is_some_and(|until| now < *until);
    if whom == node.id || banned || node.known.contains_key(&whom) {
        return false;
    }
    node.known.insert(whom, when);
    true
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
