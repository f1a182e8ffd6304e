//! Keeps redis-server running: starts it so that it outlives the agent, adopts one that runs already, starts it
//! again when it ended.

mod launch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::launch::Supervisor;
use self::launch::{Running, launch};
use crate::home::Home;
use crate::nodes_file::NodesFile;
use crate::process::ProcessMark;

/// The file that names the running server.
pub(crate) const MARK: &str = "redis.pid";

/// The wait before the second start; it doubles with every start that fails.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest wait between two starts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// How often to look whether redis-server's log is too long: tenants' scripts may write to it.
const LOG_PERIOD: Duration = Duration::from_secs(5);
/// A server that ran this long was fine; its end is not counted with those before.
const STEADY: Duration = Duration::from_secs(60);

/// What the agent does about redis-server right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: it is not wanted yet, or not any more.
    Idle,
    /// It is being looked for or started.
    Starting,
    /// The process exists.
    Up {
        /// Which process.
        mark: ProcessMark,
        /// Since when this agent knows it.
        since: Instant,
    },
    /// It ended or could not be started, and will be started again.
    Waiting {
        /// How many times in a row.
        failures: u32,
        /// What happened last.
        reason: String,
    },
}

/// The handle of the loop that keeps redis-server running.
#[derive(Debug)]
pub struct RedisServer {
    wanted: watch::Sender<Option<PathBuf>>,
    phase: watch::Receiver<Phase>,
}

impl RedisServer {
    /// Starts the loop on `tasks`. It ends with `stop` and leaves redis-server as it is.
    pub fn supervise(
        home: Arc<Home>,
        nodes: Arc<NodesFile>,
        supervisor: Supervisor,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (wanted, wanted_now) = watch::channel(None);
        let (phase, phase_now) = watch::channel(Phase::Idle);
        let supervision = Supervision { home, nodes, supervisor, wanted: wanted_now, phase };
        tasks.spawn(async move { stop.run_until_cancelled(supervision.run()).await });
        Self { wanted, phase: phase_now }
    }

    /// Asks for a server made of `binary`.
    pub fn want(&self, binary: PathBuf) {
        self.wanted.send_if_modified(|wanted| wanted.replace(binary.clone()).as_ref() != Some(&binary));
    }

    /// Asks for no server any more: the one that runs is not started again when it ends.
    pub fn unwant(&self) {
        self.wanted.send_replace(None);
    }

    /// What the loop does right now.
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Waits until the loop is at rest, `limit` at most.
    pub async fn idle(&self, limit: Duration) {
        let mut phase = self.phase.clone();
        let _ = timeout(limit, phase.wait_for(|phase| *phase == Phase::Idle)).await;
    }
}

struct Supervision {
    home: Arc<Home>,
    nodes: Arc<NodesFile>,
    supervisor: Supervisor,
    wanted: watch::Receiver<Option<PathBuf>>,
    phase: watch::Sender<Phase>,
}

impl Supervision {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            if self.wanted.borrow().is_none() {
                failures = 0;
                self.phase.send_replace(Phase::Idle);
            }
            let Ok(binary) = self.wanted.wait_for(Option::is_some).await.map(|wanted| wanted.clone()) else { return };
            let Some(binary) = binary else { continue };
            // A start that takes its time to fail is a failure like any other.
            let (reason, lived) = match self.start(binary).await {
                Ok(running) => {
                    let started = Instant::now();
                    (self.watch(running).await, started.elapsed())
                }
                Err(reason) => (reason, Duration::ZERO),
            };
            if self.wanted.borrow().is_none() {
                continue;
            }
            failures = if lived >= STEADY { 1 } else { failures + 1 };
            tracing::warn!(failures, "redis-server will be started again: {reason}");
            self.phase.send_replace(Phase::Waiting { failures, reason });
            // Cut short where no server is wanted any more.
            let _ = timeout(backoff(failures), self.wanted.wait_for(Option::is_none)).await;
        }
    }

    /// Finds the server that runs in this directory or starts one.
    async fn start(&self, binary: PathBuf) -> Result<Running, String> {
        self.phase.send_replace(Phase::Starting);
        if let Some(running) =
            self.adopt().await.map_err(|error| format!("a running one cannot be watched: {error}"))?
        {
            tracing::info!(redis.pid = running.mark.pid, "redis-server runs already as process {}", running.mark.pid);
            return Ok(running);
        }
        let nodes = Arc::clone(&self.nodes);
        let mended = tokio::task::spawn_blocking(move || nodes.mend()).await;
        if let Some(done) = mended.unwrap_or_else(|error| Err(format!("nodes.conf was not looked at: {error}")))? {
            tracing::warn!("{done}");
        }
        let running = launch(&self.home, &self.supervisor, &binary).await?;
        tracing::info!(redis.pid = running.mark.pid, "redis-server started as process {}", running.mark.pid);
        Ok(running)
    }

    /// The running server: the process that holds our unix socket, else the one that was started last, if it lives.
    /// The first answers when an agent was killed before it could write down whom it had started.
    async fn adopt(&self) -> std::io::Result<Option<Running>> {
        let listener = match timeout(Duration::from_secs(1), UnixStream::connect(self.home.socket())).await {
            Ok(Ok(stream)) => stream.peer_cred()?.pid().and_then(ProcessMark::of),
            _ => None,
        };
        let written = || serde_json::from_str(&self.home.read(MARK).ok()??).ok();
        match listener.or_else(written) {
            Some(mark) => Running::foreign(mark),
            None => Ok(None),
        }
    }

    /// Waits for the end of the server, and says how it ended.
    async fn watch(&self, mut running: Running) -> String {
        if let Err(error) = remember(&self.home, &running.mark) {
            // Only an agent that starts later would have liked to know; the socket tells it, too.
            tracing::warn!(%error, "the process of redis-server cannot be written down: {error}");
        }
        self.phase.send_replace(Phase::Up { mark: running.mark.clone(), since: Instant::now() });
        let mut complained = false;
        loop {
            if let Ok(reason) = timeout(LOG_PERIOD, running.ended()).await {
                return reason;
            }
            let home = Arc::clone(&self.home);
            let trimmed = tokio::task::spawn_blocking(move || home.trim_log()).await.map_err(std::io::Error::other);
            let trimmed = trimmed.and_then(|trimmed| trimmed);
            if let Some(error) = trimmed.as_ref().err().filter(|_| !complained) {
                tracing::warn!(%error, "the log of redis-server cannot be shortened: {error}");
            }
            complained = trimmed.is_err();
        }
    }
}

fn remember(home: &Home, mark: &ProcessMark) -> std::io::Result<()> {
    home.write(MARK, &serde_json::to_string(mark)?)
}

/// The wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_not_wanted_any_more_is_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let home = Arc::new(Home::open(place.path()).unwrap());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let nodes = Arc::new(NodesFile::open(Arc::clone(&home)).unwrap());
        let server = RedisServer::supervise(home, nodes, Supervisor::Process, &tasks, stop.clone());
        server.want("/bin/false".into());
        let mut phase = server.phase.clone();
        let failed = |phase: &Phase| matches!(phase, Phase::Waiting { failures, .. } if *failures >= 5);
        timeout(Duration::from_secs(30), phase.wait_for(failed)).await.unwrap().unwrap();
        // It would be started again in three seconds.
        server.unwant();
        server.idle(Duration::from_secs(2)).await;
        assert_eq!(server.phase(), Phase::Idle);
        server.want("/bin/false".into());
        let again = |phase: &Phase| matches!(phase, Phase::Waiting { .. });
        let phase = timeout(Duration::from_secs(2), phase.wait_for(again)).await.unwrap().unwrap().clone();
        assert!(matches!(phase, Phase::Waiting { failures: 1, .. }), "it is counted anew: {phase:?}");
        stop.cancel();
    }

    #[test]
    fn the_wait_doubles_up_to_half_a_minute() {
        let waits: Vec<_> = [1, 2, 3, 8, 9, u32::MAX].map(|n| backoff(n).as_millis()).to_vec();
        assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000]);
    }
}
