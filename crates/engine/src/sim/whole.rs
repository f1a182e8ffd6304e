//! A whole installation in the simulated world: many clusters, several taskmanagers and apis, clients who ask for
//! everything, tenants who move slots by themselves, and a storm of every kind of trouble; all drawn from one seed.
//!
//! While it lasts, what must be true at every step is looked at after every step. Then the storm ends, and everything
//! has to end well: every task, every cluster, every debt; and once every cluster is deleted, nothing is left. The
//! same seed is the same story, call for call.

mod clients;
mod daemons;
mod finale;
mod storm;
mod tenants;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use redtrove_core::catalogue::Datastore;
use redtrove_core::ids::{DatastoreId, DatastoreVersionId};
use redtrove_core::topology::Engine as Server;
use tokio::time::sleep;

use super::clock::Chance;
use super::watch::Watch;
pub use super::watch::{Tally, Violation};
use super::weather::Weather;
use super::{Mutation, Sim, aside};
use crate::ports::NewVersion;
use daemons::{Api, Taskmanager};

/// The shortest and the longest storm.
const STORM: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));
/// How often it is looked whether something went wrong.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a story is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Telling {
    /// The mistake that the world makes.
    pub mutation: Option<Mutation>,
    /// Keeps every event as a line.
    pub line_by_line: bool,
}

/// How a story ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where it was drawn from.
    pub seed: u64,
    /// What was wrong, if anything was.
    pub violation: Option<Violation>,
    /// What happened, line by line, if that was asked for.
    pub story: Vec<String>,
    /// A number that follows from all that happened: the same for the same story.
    pub print: u64,
    /// What happened, in numbers.
    pub tally: Tally,
    /// How long it took in the simulated world.
    pub length: Duration,
}

/// Tells the story of a seed.
///
/// # Errors
///
/// That of the operating system, if no runtime can be made.
pub fn run(seed: u64, telling: Telling) -> std::io::Result<Report> {
    notice_panics();
    PANICKED.set(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(play(seed, telling)))
}

thread_local! {
    /// Something panicked in this thread, be it caught or not.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// A panic is caught where a task runs, which is right in a daemon and hides a mistake here.
fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.set(true);
            before(panic);
        }));
    });
}

/// Everybody's common ground.
struct Stage {
    sim: Sim,
    /// The storm has passed, and nobody asks for anything any more.
    over: AtomicBool,
    taskmanagers: Mutex<Vec<Taskmanager>>,
    apis: Mutex<Vec<Api>>,
    datastores: Vec<Datastore>,
    /// How many messages of a thousand are lost, and how many come twice.
    letters: (u32, u32),
    /// Daemons' clocks are wrong.
    wrong_clocks: bool,
}

impl Stage {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn happened(&self, name: &str, line: impl FnOnce() -> String) {
        let now = self.sim.elapsed();
        if let Some(watch) = &mut self.sim.lock().watch {
            watch.happened(now, 0, name, line);
        }
    }

    fn wrong(&self, must_be: &'static str, found: String) {
        self.happened("wrong", || format!("{must_be}: {found}"));
        if let Some(watch) = &mut self.sim.lock().watch {
            watch.wrong(must_be, found);
        }
    }

    fn is_wrong(&self) -> bool {
        if PANICKED.get() {
            self.wrong("nothing panics", "something did; the panic is on standard error".to_owned());
        }
        self.sim.lock().watch.as_ref().is_some_and(|watch| watch.violation.is_some())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn play(seed: u64, telling: Telling) -> Report {
    let sim = Sim::new(seed);
    let mut chance = Chance::new(seed);
    let stage = Arc::new(set(&sim, &mut chance, telling).await);
    for place in 0..2 + chance.below(2) {
        let name = daemons::NAMES.get(place).copied().unwrap_or_default();
        stage.start_taskmanager(place, name, &mut chance);
    }
    for place in 0..2 {
        stage.start_api(place, &mut chance);
    }
    for client in 0..1 + chance.below(3) {
        aside(clients::run(Arc::clone(&stage), client, chance.fork()));
    }
    if chance.happens(800) {
        aside(tenants::run(Arc::clone(&stage), chance.fork()));
    }
    aside(storm::run(Arc::clone(&stage), chance.fork()));
    let length = chance.between(STORM.0, STORM.1);
    while sim.elapsed() < length && !stage.is_wrong() {
        sleep(LOOK_EVERY).await;
    }
    if !stage.is_wrong() {
        finale::run(&stage, chance.fork()).await;
    }
    let length = sim.elapsed();
    let watch = sim.lock().watch.take().unwrap_or_default();
    let Watch { violation, story, print, tally, .. } = *watch;
    Report { seed, violation, story: story.unwrap_or_default(), print, tally, length }
}

/// A world with what an installation has before anybody asks for a cluster.
async fn set(sim: &Sim, chance: &mut Chance, telling: Telling) -> Stage {
    let store = sim.observer().store;
    let version = NewVersion {
        datastore: "redis".to_owned(),
        datastore_id: DatastoreId(uuid::Uuid::from_u128(1)),
        version: "7.0".to_owned(),
        version_id: DatastoreVersionId(uuid::Uuid::from_u128(2)),
        engine: Server::Redis,
        is_default: true,
        settings: BTreeMap::new(),
    };
    // An observer's calls do not fail.
    let _ = store.add_version(&version).await;
    let datastores = store.datastores().await.unwrap_or_default();
    sim.mutate(telling.mutation);
    let slow = |chance: &mut Chance| {
        if chance.happens(500) { Duration::ZERO } else { chance.between(Duration::ZERO, Duration::from_secs(15)) }
    };
    {
        let mut state = sim.lock();
        state.machines.takes = (slow(chance), slow(chance));
        state.chaos.weather = Some(Weather::rough(chance.fork()));
        state.watch = Some(Box::new(Watch::new(telling.line_by_line)));
    }
    let per_mille = |chance: &mut Chance| chance.pick(&[0, 50, 300, 1000]).unwrap_or(0);
    Stage {
        sim: sim.clone(),
        over: AtomicBool::new(false),
        taskmanagers: Mutex::default(),
        apis: Mutex::default(),
        datastores,
        letters: (per_mille(chance), per_mille(chance)),
        wrong_clocks: chance.happens(500),
    }
}
