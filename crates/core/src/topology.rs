//! What Redis nodes say of themselves and of each other: the replies of `CLUSTER NODES`, `CLUSTER INFO` and `INFO`,
//! and the file `nodes.conf`.

mod info;
mod nodes;
mod nodes_conf;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use info::{Engine, Info, InvalidInfo, Version};
pub use nodes::{InvalidNodes, NodeAddress, NodeLine, Reach, parse_nodes};
pub use nodes_conf::{InvalidNodesConf, NodesConf};

use crate::ids::NodeId;
use crate::slots::SlotSet;

/// One node's view of its cluster at one moment, read in one go by the agent beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// The id of the node whose view this is.
    pub myself: NodeId,
    /// Every node that it knows, itself included, in the order of `CLUSTER NODES`.
    pub nodes: Vec<NodeLine>,
    /// `CLUSTER INFO` says `cluster_state:ok`.
    pub state_ok: bool,
    /// The keys it holds (`DBSIZE`).
    pub keys: u64,
    /// How long its redis-server has been up, in seconds (`uptime_in_seconds` of `INFO server`).
    pub uptime_seconds: u64,
    /// The agent has had `ClusterComplete`: tenants are let in and the product's node timeout is in force.
    pub complete: bool,
    /// Tenants are shut out, for this long yet (`CloseToTenants`). Absent while they are let in, and before the node
    /// was ever complete.
    pub closed_for: Option<Duration>,
    /// The node has left its cluster (`LeaveCluster`): the id that it had there.
    pub left: Option<NodeId>,
}

/// A slot map: who owns what, by node id. Nodes without slots are not in it.
pub type SlotMap = BTreeMap<NodeId, SlotSet>;

impl NodeView {
    /// The node's line about itself.
    pub fn own(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.id == self.myself)
    }

    /// The slots the node says it owns itself.
    pub fn own_slots(&self) -> SlotSet {
        self.own().map(|node| node.slots.clone()).unwrap_or_default()
    }

    /// The node's own configuration epoch.
    pub fn own_epoch(&self) -> u64 {
        self.own().map_or(0, |node| node.config_epoch)
    }

    /// What the node knows of `id`, unless it is only shaking hands with it.
    pub fn node(&self, id: NodeId) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.id == id && !node.handshake)
    }

    /// The ids it knows, itself included. A node it is only shaking hands with does not count: until the
    /// handshake is done its id is a random placeholder.
    pub fn known(&self) -> BTreeSet<NodeId> {
        self.nodes.iter().filter(|node| !node.handshake).map(|node| node.id).collect()
    }

    /// Whether a handshake with `ip` and `port` is under way. `CLUSTER MEET` answers at once; this is how it shows.
    pub fn is_shaking_hands_with(&self, ip: &str, port: u16) -> bool {
        self.nodes.iter().any(|node| node.handshake && node.address.ip == ip && node.address.port == port)
    }

    /// Who owns which slots in this node's view.
    pub fn slot_map(&self) -> SlotMap {
        self.nodes
            .iter()
            .filter(|node| !node.handshake && !node.slots.is_empty())
            .map(|node| (node.id, node.slots.clone()))
            .collect()
    }
}
