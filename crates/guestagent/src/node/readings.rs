//! What is read from a node.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::NodeId;
use redtrove_core::instance::RedisState;
use redtrove_core::topology::{NodeView, Reach};
use redtrove_guest_rpc::{convert, v1};
use tokio::time::Instant;

use super::Node;
use crate::cluster::ServerInfo;
use crate::failure::Failure;
use crate::redis_server::Phase;
use crate::state::Shut;

/// A server that is this young and does not answer is still being started.
const START_TIME: Duration = Duration::from_secs(10);
/// So many starts in a row that failed are more than a hiccup: the server is down.
const DOWN_AFTER: u32 = 3;

impl Node {
    /// The node's view of its cluster.
    pub(crate) async fn view(&self) -> Result<NodeView, Failure> {
        self.prepared()?;
        let view = self.redis.view().await?;
        // Read afterwards: that a node is about to leave is written down before it is touched.
        let known = self.known();
        let state = known.state.ok_or_else(Failure::unprepared)?;
        let left = match state.shut {
            // An id that is still there has not been dropped yet.
            Some(Shut::Leaving(id) | Shut::Left(id)) if id != view.myself => Some(id),
            _ => None,
        };
        let closed_for = match known.opens_at {
            Some(at) => Some(at.saturating_duration_since(Instant::now())),
            // It does not open by itself.
            None if state.shut.is_some() => Some(self.closing),
            None => None,
        };
        Ok(NodeView { complete: state.complete, closed_for: closed_for.filter(|_| state.complete), left, ..view })
    }

    /// The node's id, if it may be removed: it owns no slots, and none is on its way in or out.
    pub(crate) async fn id_for_removal(&self) -> Result<Option<NodeId>, Failure> {
        let view = self.view().await?;
        let free = |own: &&redtrove_core::topology::NodeLine| {
            own.slots.is_empty() && own.migrating.is_empty() && own.importing.is_empty()
        };
        Ok(view.own().filter(free).map(|own| own.id))
    }

    /// How redis-server on this node is. Fails only on the agent's own trouble.
    pub(crate) async fn status(self: &Arc<Self>) -> Result<v1::GetStatusResponse, Failure> {
        let mut status = v1::GetStatusResponse {
            generation: self.fence.highest().map_or(0, |generation| generation.number().unsigned_abs()),
            volume_used_bytes: self.with_home(|node| Ok(node.home.data_bytes())).await?,
            ..v1::GetStatusResponse::default()
        };
        let Some(state) = self.state() else {
            status.set_state(v1::RedisState::Unprepared);
            return Ok(status);
        };
        status.complete = state.complete;
        status.engine = state.prepared.engine.name().to_owned();
        let (found, detail) = match self.server.phase() {
            Phase::Idle | Phase::Starting => (RedisState::Starting, String::new()),
            Phase::Waiting { failures, reason } => {
                let found = if failures < DOWN_AFTER { RedisState::Starting } else { RedisState::Down };
                (found, format!("{reason}\n{}", self.home.log_tail()))
            }
            Phase::Up { mark, since } => match self.ask_status(&mut status).await {
                Ok(info) if info.loading => (RedisState::Loading, String::new()),
                Ok(_) => (RedisState::Running, String::new()),
                Err(_) if since.elapsed() < START_TIME => (RedisState::Starting, String::new()),
                Err(error) => (RedisState::Down, format!("{error} (process {})", mark.pid)),
            },
        };
        status.set_state(found.into());
        status.detail = detail;
        Ok(status)
    }

    /// Fills in what only redis-server knows.
    async fn ask_status(&self, status: &mut v1::GetStatusResponse) -> Result<ServerInfo, Failure> {
        let info = self.redis.server_info().await?;
        status.engine = info.engine.name().to_owned();
        status.engine_version = info.version.to_string();
        status.used_memory_bytes = info.used_memory;
        // While it loads, CLUSTER is refused.
        if info.loading {
            return Ok(info);
        }
        let view = self.redis.view().await?;
        status.node_id = Some(view.myself.into());
        if let Some(own) = view.own() {
            status.set_role(if own.master { v1::Role::Master } else { v1::Role::Replica });
            status.slots = convert::slot_ranges(&own.slots);
        }
        let held =
            |reach| view.nodes.iter().filter(move |node| node.reach == reach).map(|node| node.id.into()).collect();
        status.failed_node_ids = held(Reach::Failed);
        status.suspected_node_ids = held(Reach::Suspected);
        Ok(info)
    }
}
