//! An orderly end: one token that says stop, one tracker of what is still running, and the loops that have to turn until
//! then.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pulse::Pulses;

/// The daemon's wish to stop and the work that has to end first. Clones speak of the same daemon.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    pulses: Pulses,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Every task has ended.
    Complete,
    /// The deadline came first; this many tasks were still running.
    Late(usize),
}

impl Shutdown {
    /// Nothing running, no wish to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the daemon shall stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Where the daemon's background work is spawned: [`drain`](Self::drain) waits for it.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The loops that have to turn for as long as the daemon is not asked to stop.
    pub fn pulses(&self) -> &Pulses {
        &self.pulses
    }

    /// Asks everything to stop; does not wait.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Does `work`, which heeds the token; once the daemon stops it has `deadline` to end, and is dropped after that.
    /// Nothing if it was dropped.
    pub async fn work<T>(&self, deadline: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = async { self.token.cancelled().await; tokio::time::sleep(deadline).await } => None,
        }
    }

    /// Asks everything to stop and waits for it, `deadline` at most.
    pub async fn drain(&self, deadline: Duration) -> Drain {
        self.begin();
        self.tasks.close();
        match tokio::time::timeout(deadline, self.tasks.wait()).await {
            Ok(()) => Drain::Complete,
            Err(_) => Drain::Late(self.tasks.len()),
        }
    }
}

/// SIGTERM and SIGINT, caught from the moment this is made.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Catches both signals for the rest of the process's life. Needs a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either signal and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Begins `shutdown` at the first signal. Returns at the second: whoever asks again does not want to wait.
    pub async fn heed(&mut self, shutdown: &Shutdown) {
        let name = self.next().await;
        tracing::info!(signal = name, "stopping: {name} received");
        crate::notify::stopping();
        shutdown.begin();
        let name = self.next().await;
        tracing::warn!(signal = name, "stopping at once: {name} received again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_tasks_that_heed_the_token() {
        let shutdown = Shutdown::new();
        let token = shutdown.token().clone();
        shutdown.tasks().spawn(async move { token.cancelled().await });
        assert_eq!(shutdown.drain(Duration::from_secs(10)).await, Drain::Complete);
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_dropped_when_it_does_not_end_after_the_daemon_stopped() {
        let shutdown = Shutdown::new();
        let deadline = Duration::from_secs(5);
        assert_eq!(shutdown.work(deadline, async { tokio::time::sleep(deadline * 2).await }).await, Some(()));
        shutdown.begin();
        assert_eq!(shutdown.work(deadline, async { tokio::time::sleep(deadline / 2).await }).await, Some(()));
        assert_eq!(shutdown.work(deadline, std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn a_drain_gives_up_at_its_deadline_and_counts_the_rest() {
        let shutdown = Shutdown::new();
        for _ in 0..3 {
            shutdown.tasks().spawn(std::future::pending::<()>());
        }
        assert_eq!(shutdown.drain(Duration::from_millis(20)).await, Drain::Late(3));
    }
}
