//! Tenants are shut out for a while, and let in again: by a call, or when the time is over.
//!
//! The order is always the same: the state, the file that redis-server reads when it starts, the running server. An
//! agent that is killed in between finds the state when it starts and does the rest.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::{Clock, NodeId};
use redtrove_service::SystemClock;
use tokio::time::{Instant, sleep, sleep_until};

use super::Node;
use crate::failure::Failure;
use crate::state::{NodeState, Shut};

/// The pause before something is tried again that a full disk or a silent server prevented.
const PAUSE: Duration = Duration::from_secs(1);

impl Node {
    /// Shuts tenants out and ends their connections; from now on the node is closed for as long as every call closes it.
    pub(crate) async fn close(self: Arc<Self>, expected: NodeId) -> Result<(), Failure> {
        let state = self.prepared()?;
        match state.shut {
            Some(Shut::Leaving(id) | Shut::Left(id)) if id == expected => return Ok(()),
            Some(Shut::Leaving(_) | Shut::Left(_)) => return self.member().map(drop),
            Some(Shut::Until(_)) | None => {}
        }
        if !state.complete {
            return Err(Failure::WrongState("the node is not complete: tenants were never let in".to_owned()));
        }
        // Also asked so that nothing is written while no server answers.
        self.expect(expected).await?;
        let until = SystemClock.now().after(self.closing);
        self.shut(&state, Some(Shut::Until(until))).await
    }

    /// Lets tenants in again. A leave that was begun is given up, unless the node has lost its id.
    pub(crate) async fn reopen(self: Arc<Self>, expected: NodeId) -> Result<(), Failure> {
        let state = self.prepared()?;
        if matches!(state.shut, Some(Shut::Left(_))) {
            return self.member().map(drop);
        }
        if !state.complete {
            return Err(Failure::WrongState("the node is not complete: ClusterComplete lets tenants in".to_owned()));
        }
        self.expect(expected).await?;
        self.shut(&state, None).await
    }

    /// Shuts tenants out or lets them in, as `shut` says of a node whose state is otherwise `state`.
    pub(super) async fn shut(self: &Arc<Self>, state: &NodeState, shut: Option<Shut>) -> Result<(), Failure> {
        self.put(state.with_shut(shut)).await?;
        let settled = self.settle().await;
        if settled.is_err() {
            self.unsettled.notify_one();
        }
        settled
    }

    /// Does to redis-server what the state says of tenants, the running one and what it starts with.
    async fn settle(self: &Arc<Self>) -> Result<(), Failure> {
        let Some(state) = self.state() else { return Ok(()) };
        let tenants = state.tenants();
        let written = self.with_home(move |node| node.write_files(&state)).await;
        // Also without space for the files: a door that is to be closed is closed.
        self.redis.set_tenants(tenants).await?;
        written
    }

    /// Does it as soon as redis-server answers, where it could not be done at once, and when the agent starts: the rules
    /// of a server that runs already may be those of an older agent, or of a call that was cut short.
    pub(super) async fn settle_in_time(self: Arc<Self>) {
        loop {
            self.unsettled.notified().await;
            while self.state().is_some() {
                if self.first_answer().await.is_ok() {
                    let _turn = self.turn.lock().await;
                    match self.settle().await {
                        Ok(()) => break,
                        Err(error) => tracing::debug!("the tenants' rules are not set yet: {error}"),
                    }
                }
                sleep(PAUSE).await;
            }
        }
    }

    /// Opens a closed node when its time is over.
    pub(super) async fn open_in_time(self: Arc<Self>) {
        let mut known = self.known.subscribe();
        let mut complained = false;
        loop {
            let opens_at = known.borrow_and_update().opens_at;
            let due = async {
                match opens_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = known.changed() => continue,
                () = due => {}
            }
            match self.open_if_due().await {
                Ok(()) => complained = false,
                Err(error) => {
                    // On a full disk, for as long as it is full.
                    if !complained {
                        tracing::warn!("the node is not open to tenants again yet: {error}");
                    }
                    complained = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn open_if_due(self: &Arc<Self>) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        // The call that was waited for may have closed the node anew, or begun to take it out of its cluster.
        let known = self.known();
        match (known.state, known.opens_at) {
            (Some(state), Some(at)) if at <= Instant::now() => {
                tracing::info!("nobody kept the node closed: it is opened to tenants again");
                self.shut(&state, None).await
            }
            _ => Ok(()),
        }
    }

    /// The state after a restart of the agent. The time it was away counts, by the machine's clock; one that was set
    /// back meanwhile keeps the node closed for no longer than a call would.
    pub(super) fn resumed(&self, state: NodeState) -> Result<NodeState, Failure> {
        let now = SystemClock.now();
        let Some(left) = state.closed_for(now, self.closing) else { return Ok(state) };
        let state = state.with_shut((!left.is_zero()).then(|| Shut::Until(now.after(left))));
        match state.save(&self.home) {
            // Written with the next change; until then a restart measures the time from the same moment.
            Err(error @ Failure::Unavailable(_)) => tracing::warn!("{error}"),
            saved => saved?,
        }
        Ok(state)
    }
}
