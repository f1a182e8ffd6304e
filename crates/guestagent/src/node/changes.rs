//! What changes a node. Each of these runs alone and may be repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::{NodeId, SlotSet};
use redtrove_guest_rpc::InvalidField;
use tokio::time::Instant;

use super::Node;
use crate::cluster::ServerInfo;
use crate::failure::Failure;
use crate::input::{AddSlots, Meet};
use crate::redis_server::Phase;
use crate::state::{NodeState, Prepared};

/// How long a first start may take before `Prepare` gives up waiting; the server is still being started then.
const START_LIMIT: Duration = Duration::from_secs(12);
/// How long a server has to end that was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// So many starts in a row that failed are the answer to `Prepare`.
const HOPELESS: u32 = 3;

impl Node {
    /// Writes the configuration, starts redis-server and waits until it answers.
    pub(crate) async fn prepare(self: Arc<Self>, prepared: Prepared) -> Result<(), Failure> {
        let (fresh, complete) = match self.state() {
            Some(state) if state.prepared != prepared => {
                return Err(Failure::WrongState("the node is prepared already, with another request".to_owned()));
            }
            Some(_) => (false, self.member()?.complete),
            None => (true, false),
        };
        let engine = prepared.engine;
        let binary = self.binary(engine)?;
        if fresh {
            let state = NodeState { prepared, complete: false, shut: None };
            let written = state.clone();
            self.with_home(move |node| node.write_files(&written)).await?;
            self.put(state).await?;
        }
        self.server.want(binary);
        if let Err(reason) = self.first_answer().await?.fits(engine) {
            if !complete {
                self.undo_prepare().await?;
            }
            return Err(Failure::WrongState(reason));
        }
        Ok(())
    }

    /// Waits until redis-server answers, loading or not.
    pub(super) async fn first_answer(&self) -> Result<ServerInfo, Failure> {
        let deadline = Instant::now() + START_LIMIT;
        let mut pause = Duration::from_millis(20);
        loop {
            // Only a server that exists can be asked; asking earlier would make one more connection that fails.
            let phase = self.server.phase();
            let problem = match &phase {
                Phase::Up { .. } => match self.redis.server_info().await {
                    Err(Failure::Unavailable(problem)) => problem,
                    answer => return answer,
                },
                Phase::Waiting { reason, .. } => reason.clone(),
                Phase::Idle | Phase::Starting => "it is being started".to_owned(),
            };
            let hopeless = matches!(phase, Phase::Waiting { failures, .. } if failures >= HOPELESS);
            if hopeless || Instant::now() >= deadline {
                let tail = self.home.log_tail();
                return Err(Failure::Unavailable(format!("redis-server did not come up: {problem}\n{tail}")));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Ends a server that is not wanted and makes the node an unprepared one again.
    async fn undo_prepare(self: &Arc<Self>) -> Result<(), Failure> {
        self.server.unwant();
        self.redis.shut_down().await;
        self.server.idle(STOP_LIMIT).await;
        self.with_home(|node| NodeState::forget(&node.home)).await?;
        self.set_state(None);
        Ok(())
    }

    /// Starts a handshake with another node.
    pub(crate) async fn meet(self: Arc<Self>, wanted: Meet) -> Result<(), Failure> {
        let complete = self.member()?.complete;
        // The other node learns this one's id.
        let own = self.own_id().await?;
        if let Some(expected) = wanted.expected.filter(|expected| *expected != own) {
            return Err(Failure::another(own, expected));
        }
        if complete && wanted.timeout_ms.is_some() {
            let reason = "the node is complete: the node timeout of one that serves is not changed";
            return Err(Failure::WrongState(reason.to_owned()));
        }
        self.redis.meet(wanted.ip, wanted.port, wanted.timeout_ms).await
    }

    /// Takes slots, before the node has met anyone.
    pub(crate) async fn add_slots(self: Arc<Self>, wanted: AddSlots) -> Result<(), Failure> {
        let complete = self.member()?.complete;
        let view = self.own_view().await?;
        if let Some(expected) = wanted.expected.filter(|expected| *expected != view.myself) {
            return Err(Failure::another(view.myself, expected));
        }
        let (owned, range) = (view.own_slots(), SlotSet::from(wanted.range));
        let done = owned == range;
        if complete {
            let refuse = || format!("the cluster is complete and the node owns {owned}, not {range}");
            return if done { Ok(()) } else { Err(Failure::WrongState(refuse())) };
        }
        if !owned.is_empty() && !done {
            return Err(Failure::WrongState(format!("the node owns {owned} already, not {range}")));
        }
        let epoch = match (wanted.epoch, view.own_epoch()) {
            (Some(epoch), 0) => Some(epoch),
            (Some(epoch), own) if own != epoch => {
                return Err(Failure::WrongState(format!("the node's config epoch is {own} already, not {epoch}")));
            }
            _ => None,
        };
        let range = (!done).then_some(wanted.range);
        self.redis.add_slots(range, epoch, wanted.timeout_ms).await
    }

    /// Forgets nodes.
    pub(crate) async fn forget(self: Arc<Self>, nodes: BTreeSet<NodeId>) -> Result<(), Failure> {
        self.prepared()?;
        let own = self.own_id().await?;
        if nodes.contains(&own) {
            return Err(InvalidField::new("node_ids", format!("{own} is this node itself")).into());
        }
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        self.redis.forget(&nodes).await
    }

    /// Restores the product's node timeout and lets tenants in, now and after every restart. One that is closed to
    /// them for a while stays so.
    ///
    /// The file first, then the running server, then the state: a server that restarts in between comes up open,
    /// and a call that did not get through is repeated.
    pub(crate) async fn complete(self: Arc<Self>) -> Result<(), Failure> {
        let state = self.member()?;
        let settings = state.settings()?;
        // Asked first, so that nothing is written while no server answers.
        self.own_id().await?;
        let opened = NodeState { complete: true, ..(*state).clone() };
        if !state.complete {
            let written = opened.clone();
            self.with_home(move |node| node.write_files(&written)).await?;
        }
        self.redis.set_node_timeout(settings.node_timeout_ms()).await?;
        self.redis.set_tenants(opened.tenants()).await?;
        if !state.complete {
            self.put(opened).await?;
        }
        Ok(())
    }
}
