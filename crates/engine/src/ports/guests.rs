//! The agents on the nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::instance::RedisState;
use redtrove_core::plan::Joining;
use redtrove_core::topology::{Engine, NodeView};
use redtrove_core::{ClusterId, InstanceId, NodeId, RequestId, SlotRange, SlotSet};

/// Whom to call: the agent of an instance. Its certificate must carry the instance's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guest {
    /// The instance.
    pub instance: InstanceId,
    /// Where its agent is.
    pub ip: String,
}

/// In whose name a node is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The lease token of the task: a node refuses one lower than the highest it has seen.
    pub generation: u64,
    /// The request that asked for it.
    pub request: RequestId,
}

/// What a node is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareSpec {
    /// The server.
    pub engine: Engine,
    /// The cluster it is to be a member of.
    pub cluster: ClusterId,
    /// The memory of its machine, MB.
    pub ram_mb: u64,
    /// The size of its volume, GB.
    pub volume_gb: u64,
    /// redis.conf settings that replace the product's defaults.
    pub settings: BTreeMap<String, String>,
}

/// What a look at a node's cluster shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The agent has not been told what to run.
    Unprepared,
    /// The node's view.
    View(Box<NodeView>),
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestStatus {
    /// How its redis-server is; Unknown before it is prepared.
    pub redis: RedisState,
    /// What its volume holds, bytes.
    pub volume_used_bytes: u64,
    /// Its node's id, while its redis-server answers.
    pub node: Option<NodeId>,
    /// The slots that its node owns, while its redis-server answers.
    pub slots: SlotSet,
    /// Whether it serves them (`cluster_state` of CLUSTER INFO): if not, it answers CLUSTERDOWN for every key. True of an
    /// agent that does not say.
    pub state_ok: bool,
    /// The nodes it holds for failed, as a majority of masters agreed.
    pub failed: Vec<NodeId>,
}

/// A call that a guest did not carry out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestError {
    /// The agent does not answer, or not in time.
    #[error("the guest agent does not answer: {0}")]
    Silent(String),
    /// The agent answers, its redis-server does not: the agent's sentence about it.
    #[error("{0}")]
    RedisDown(String),
    /// The node has seen a higher generation.
    #[error("the node has seen generation {seen}")]
    OldGeneration {
        /// The highest that it has seen.
        seen: u64,
    },
    /// The agent refuses; asking again will not help.
    #[error("the guest agent refuses: {0}")]
    Refused(String),
}

/// The agents on the nodes. Every call is bounded in time by the implementation and may be repeated.
#[async_trait]
pub trait Guests: Send + Sync + 'static {
    /// How the node is.
    async fn status(&self, guest: &Guest) -> Result<GuestStatus, GuestError>;

    /// How the node sees its cluster.
    async fn topology(&self, guest: &Guest) -> Result<Seen, GuestError>;

    /// Configure and start the node's redis-server.
    async fn prepare(&self, guest: &Guest, order: &Order, spec: &PrepareSpec) -> Result<(), GuestError>;

    /// Give the node `node` its configuration epoch and slots, and a node timeout until it is complete.
    async fn add_slots(
        &self,
        guest: &Guest,
        order: &Order,
        node: NodeId,
        slots: SlotRange,
        epoch: u64,
        forming_node_timeout: Duration,
    ) -> Result<(), GuestError>;

    /// Start a handshake with the node at `ip` and `port`; of a node that joins a cluster which serves already, if it
    /// is the recorded one, with the short node timeout of forming.
    async fn meet(
        &self,
        guest: &Guest,
        order: &Order,
        ip: &str,
        port: u16,
        joining: Option<Joining>,
    ) -> Result<(), GuestError>;

    /// The cluster is formed: the product's node timeout again, and tenants are let in.
    async fn complete(&self, guest: &Guest, order: &Order) -> Result<(), GuestError>;

    /// Shut tenants out of the node `node` for two minutes from now, and end their connections. It opens by itself
    /// after that, so that a caller who dies does not leave it shut.
    async fn close(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError>;

    /// Let tenants into the node `node` again.
    async fn reopen(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError>;

    /// Empty the node `node` and have it forget its cluster and its id (`FLUSHALL`, `CLUSTER RESET HARD`). Refused
    /// unless tenants are shut out, and while it owns a slot or takes part in a slot move.
    async fn leave(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError>;

    /// Have the node forget others (`CLUSTER FORGET`); it takes no word of them for a minute.
    async fn remove_nodes(&self, guest: &Guest, order: &Order, nodes: &[NodeId]) -> Result<(), GuestError>;

    /// The instance is gone: whatever is kept for calling it may be dropped.
    fn forget(&self, instance: InstanceId);
}
