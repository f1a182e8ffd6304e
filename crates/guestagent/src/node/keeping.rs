//! The agent's copy of nodes.conf follows the file, and a running redis-server whose file is damaged writes it again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Node;
use crate::failure::Failure;
use crate::home::NODES_CONF;
use crate::nodes_file::Look;
use crate::redis_server::Phase;

/// How often to look at the file.
const PERIOD: Duration = Duration::from_millis(500);
/// How long a file has to stay as it is before it is read.
const SETTLING: Duration = Duration::from_millis(100);

impl Node {
    /// Looks at the file from time to time, and when a call has changed it.
    pub(super) async fn keep_nodes_conf(self: Arc<Self>) {
        let mut complained = false;
        loop {
            let pause = match self.keep_once().await {
                Ok(Look::Changing) => {
                    // For its whole length: a change within it looks like none.
                    sleep(SETTLING).await;
                    continue;
                }
                Ok(_) => {
                    complained = false;
                    PERIOD
                }
                // On a full disk, for as long as it is full.
                Err(error) if complained => {
                    tracing::debug!("the copy of nodes.conf is still older than the file: {error}");
                    PERIOD
                }
                Err(error) => {
                    tracing::warn!("the copy of nodes.conf is older than the file: {error}");
                    complained = true;
                    PERIOD
                }
            };
            let _ = timeout(pause, self.reshaped.notified()).await;
        }
    }

    async fn keep_once(self: &Arc<Self>) -> Result<Look, Failure> {
        if self.state().is_none() {
            return Ok(Look::Kept);
        }
        let looked = self.look().await?;
        // A server that is not up, or has just started and does not answer yet, has nothing to write.
        if !matches!((&looked, self.server.phase()), (Look::Bad(_), Phase::Up { .. })) {
            return Ok(looked);
        }
        let Ok(id) = self.redis.node_id().await else { return Ok(looked) };
        let ours = self.nodes_file.told().is_none_or(|told| told == id) || self.leaves();
        match self.look().await? {
            Look::Bad(problem) if ours => {
                self.redis.save_nodes_conf().await?;
                tracing::warn!("nodes.conf of the running redis-server was bad: {problem}; it has written it again");
                Ok(Look::Changing)
            }
            looked => Ok(looked),
        }
    }

    async fn look(self: &Arc<Self>) -> Result<Look, Failure> {
        self.with_home(|node| node.nodes_file.look().map_err(|error| Failure::file(NODES_CONF, &error))).await
    }
}
