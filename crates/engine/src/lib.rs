//! Durable tasks: ports, submit, runner, sweeper, monitor and the simulated world.
//!
//! The database row is the truth and a message is a wake-up; every operation is a task that plans from what it
//! sees. The engine knows the world only through its [`ports`].

mod backoff;
mod complaints;
mod concurrent;
mod counts;
mod debts;
pub mod doctor;
mod keeper;
mod monitor;
mod operation;
mod orphans;
pub mod ports;
mod runner;
#[cfg(feature = "sim")]
pub mod sim;
mod steps;
pub mod submit;
mod sweeper;
pub mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redtrove_core::TaskId;
use redtrove_core::plan::Limits;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use counts::{Counts, Seen};
pub use monitor::status_within;
use ports::StoreError;
pub use ports::{Bus, Clock, Compute, Guests, Store};
use tracing::info;

/// How long a task that is offered waits for a free runner. Its message is held meanwhile, and where that takes long,
/// another engine may be idle.
const RUNNER_WITHIN: Duration = Duration::from_secs(5);

/// The world as the engine sees it.
#[derive(Clone)]
pub struct World {
    /// The database.
    pub store: Arc<dyn Store>,
    /// Where machines come from.
    pub compute: Arc<dyn Compute>,
    /// The agents on the nodes.
    pub guests: Arc<dyn Guests>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
}

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name in leases; unique among all engines on one database.
    pub owner: String,
    /// How long a lease lasts; it is renewed at a third of this.
    pub lease: Duration,
    /// The most tasks that run at the same time.
    pub max_running: usize,
    /// The limits that operations keep.
    pub limits: Limits,
    /// How long a look waits for one member's view, where members may be dead and somebody waits for the outcome: a
    /// third of `agent_call_low_timeout`.
    pub look_within: Duration,
    /// The pause between two looks for tasks that nobody claimed.
    pub sweep_every: Duration,
    /// The pause between two looks for machines that no row wants.
    pub orphans_every: Duration,
    /// How long the machine of an instance that was deleted may stay before it is removed.
    pub deleted_machine_grace: Duration,
    /// How long a machine stays that no row knows; absent if for ever.
    pub unknown_machine_grace: Option<Duration>,
    /// The pause between two rounds of the monitor (`agent_heartbeat_time`).
    pub heartbeat: Duration,
}

/// What became of a task that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It was claimed and runs here.
    Claimed,
    /// All runners are busy here, or the engine stops; whoever has a free one finds it by sweeping.
    NoRunner,
    /// It is somebody else's, has ended, or is not due.
    NotClaimable,
}

/// Runs tasks. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    world: World,
    options: Arc<Options>,
    runners: Arc<Semaphore>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    counts: Arc<Counts>,
    turns: Arc<AtomicU64>,
    seen: Arc<Seen>,
}

impl Engine {
    /// An engine in `world` that stops when `shutdown` is cancelled.
    pub fn new(world: World, options: Options, shutdown: CancellationToken) -> Self {
        let runners = Arc::new(Semaphore::new(options.max_running));
        Self {
            world,
            options: Arc::new(options),
            runners,
            tracker: TaskTracker::new(),
            shutdown,
            counts: Arc::default(),
            turns: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Waits a moment for a free runner, claims the task and starts it. Returns as soon as the claim is in the
    /// database, so that a message can be acknowledged then. Not claimable is an ordinary answer: messages come late
    /// and twice. A task that has ended waits for no runner: thousands of their messages may come after an outage.
    pub async fn offer(&self, task: TaskId) -> Result<Offered, StoreError> {
        let mut runner = Arc::clone(&self.runners).try_acquire_owned().ok();
        if runner.is_none() {
            if self.world.store.task(task).await?.is_none_or(|row| row.state.is_end()) {
                return Ok(Offered::NotClaimable);
            }
            let freed = timeout(RUNNER_WITHIN, Arc::clone(&self.runners).acquire_owned());
            runner = self.shutdown.run_until_cancelled(freed).await.and_then(Result::ok).and_then(Result::ok);
        }
        let Some(permit) = runner.filter(|_| !self.shutdown.is_cancelled()) else { return Ok(Offered::NoRunner) };
        let asked = Instant::now();
        let Some(claimed) = self.world.store.claim(task, &self.options.owner, self.options.lease).await? else {
            return Ok(Offered::NotClaimable);
        };
        let engine = self.clone();
        self.tracker.spawn(async move {
            runner::run(&engine.world, &engine.options, &engine.counts, claimed, asked, &engine.shutdown).await;
            drop(permit);
        });
        Ok(Offered::Claimed)
    }

    /// For a daemon that starts: takes up at once what an earlier run under the same name was killed in.
    pub async fn reclaim(&self) -> Result<(), StoreError> {
        let expired = self.world.store.expire_leases_of(&self.options.owner).await?;
        if expired > 0 {
            info!(expired, "taking up {expired} tasks that an earlier run of {} left", self.options.owner);
        }
        Ok(())
    }

    /// Claims what nobody has, until shutdown.
    pub async fn run_sweeper(&self) {
        sweeper::run(self).await;
    }

    /// Lists machines that no row wants and removes them when their time is over, until shutdown.
    pub async fn run_orphan_sweeper(&self) {
        orphans::run(&self.world, &self.options, &self.seen, &self.shutdown).await;
    }

    /// Watches every complete member, until shutdown; of all engines on one database, one at a time does.
    pub async fn run_monitor(&self) {
        monitor::run(&self.world, &self.options, &self.seen, &self.shutdown).await;
    }

    /// How tasks ended here, since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What was seen here at the last looks.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// How many tasks run here.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// How often the sweeper has turned: a number that no longer changes is a sweeper that hangs. One turn takes as
    /// long as the pause between two looks, and as the database to answer.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Waits until every runner has stopped; after shutdown, each gives its task back first.
    pub async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
