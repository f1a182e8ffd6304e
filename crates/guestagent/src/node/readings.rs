//! What is read from a node.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::NodeId;
use redtrove_core::instance::RedisState;
use redtrove_core::topology::{NodeView, Reach};
use redtrove_guest_rpc::{convert, v1};
use tokio::time::{Instant, timeout};

use super::Node;
use crate::cluster::ServerInfo;
use crate::failure::{Failure, NO_SPACE};
use crate::redis_server::Phase;
use crate::state::Shut;

/// A server that is this young and does not answer is still being started.
const START_TIME: Duration = Duration::from_secs(10);
/// So many starts in a row that failed are more than a hiccup: the server is down.
const DOWN_AFTER: u32 = 3;
/// With less space than this the volume is full. Bytes.
const ROOM: u64 = 64 * 1024;
/// The detail of a server that answers and refuses writes.
const CANNOT_WRITE: &str = "redis-server cannot write to its append-only file and refuses writes until it can";

impl Node {
    /// The node's view of its cluster.
    pub(crate) async fn view(self: &Arc<Self>) -> Result<NodeView, Failure> {
        self.prepared()?;
        let view = self.own_view().await?;
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
    pub(crate) async fn id_for_removal(self: &Arc<Self>) -> Result<Option<NodeId>, Failure> {
        let view = self.view().await?;
        let free = |own: &&redtrove_core::topology::NodeLine| {
            own.slots.is_empty() && own.migrating.is_empty() && own.importing.is_empty()
        };
        Ok(view.own().filter(free).map(|own| own.id))
    }

    /// How redis-server on this node is; one that does not answer within `patience` is down. Fails only on the agent's own
    /// trouble.
    pub(crate) async fn status(self: &Arc<Self>, patience: Duration) -> Result<v1::GetStatusResponse, Failure> {
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
        let (found, mut detail) = match self.server.phase() {
            Phase::Idle | Phase::Starting => (RedisState::Starting, String::new()),
            Phase::Waiting { failures, reason } => {
                let found = if failures < DOWN_AFTER { RedisState::Starting } else { RedisState::Down };
                (found, format!("{reason}\n{}", self.home.log_tail()))
            }
            Phase::Up { mark, since } => match self.ask_status(&mut status, patience).await {
                Ok(info) if info.loading => (RedisState::Loading, String::new()),
                Ok(info) if info.cannot_write => (RedisState::Running, CANNOT_WRITE.to_owned()),
                Ok(_) => (RedisState::Running, String::new()),
                Err(_) if since.elapsed() < START_TIME => (RedisState::Starting, String::new()),
                Err(error) => (RedisState::Down, format!("{error} (process {})", mark.pid)),
            },
        };
        if self.with_home(|node| Ok(node.is_full())).await? {
            detail = [NO_SPACE, &detail].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join("; ");
        }
        status.set_state(found.into());
        status.detail = detail;
        Ok(status)
    }

    /// Whether there is no room for the agent's own small files any more.
    fn is_full(&self) -> bool {
        self.home.free_bytes().is_ok_and(|free| free < ROOM)
    }

    async fn ask_status(
        self: &Arc<Self>,
        status: &mut v1::GetStatusResponse,
        patience: Duration,
    ) -> Result<ServerInfo, Failure> {
        let asked = timeout(patience, self.fill_in(status)).await;
        asked.unwrap_or_else(|_| Err(Failure::Unavailable(format!("redis-server did not answer within {patience:?}"))))
    }

    /// Fills in what only redis-server knows.
    async fn fill_in(self: &Arc<Self>, status: &mut v1::GetStatusResponse) -> Result<ServerInfo, Failure> {
        let info = self.redis.server_info().await?;
        status.engine = info.engine.name().to_owned();
        status.engine_version = info.version.to_string();
        status.used_memory_bytes = info.used_memory;
        // While it loads, CLUSTER is refused.
        if info.loading {
            return Ok(info);
        }
        let view = self.redis.view().await?;
        // An id for which there is no space is not told; the rest is as true.
        status.node_id = match self.tell(view.myself).await {
            Ok(()) => Some(view.myself.into()),
            Err(Failure::Unavailable(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(own) = view.own() {
            status.set_role(if own.master { v1::Role::Master } else { v1::Role::Replica });
            status.slots = convert::slot_ranges(&own.slots);
        }
        let held =
            |reach| view.nodes.iter().filter(move |node| node.reach == reach).map(|node| node.id.into()).collect();
        status.cluster_state_ok = Some(view.state_ok);
        status.failed_node_ids = held(Reach::Failed);
        status.suspected_node_ids = held(Reach::Suspected);
        Ok(info)
    }
}
