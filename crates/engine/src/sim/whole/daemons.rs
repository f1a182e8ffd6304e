//! Taskmanagers and apis, as systemd keeps them, and the messages between them.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::plan;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Stage, lock};
use crate::ports::WakeUp;
use crate::sim::aside;
use crate::sim::clock::{Chance, SimClock};
use crate::{Engine, Options, World};

/// What taskmanagers are called, if nobody gives them other names.
pub(super) const NAMES: [&str; 3] = ["one", "two", "three"];

/// The longest that a message is on its way.
const LONGEST_WAY: Duration = Duration::from_secs(30);
/// How far a clock is wrong, at most. Milliseconds.
const HOURS: usize = 12 * 60 * 60 * 1000;

/// One run of a taskmanager.
pub(super) struct Taskmanager {
    pub(super) name: String,
    /// Its incarnation.
    pub(super) number: u32,
    pub(super) clock: Arc<SimClock>,
    pub(super) engine: Engine,
    pub(super) shutdown: CancellationToken,
    /// It was neither killed nor told to stop.
    pub(super) runs: bool,
}

/// One run of an api.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) number: u32,
    pub(super) world: World,
}

fn options(owner: &str) -> Options {
    Options {
        owner: owner.to_owned(),
        lease: Duration::from_secs(10),
        max_running: 3,
        limits: plan::Limits { guests_ready: Duration::from_secs(60), min_uptime: Duration::ZERO },
        look_within: Duration::from_secs(3),
        sweep_every: Duration::from_secs(3),
        orphans_every: Duration::from_secs(20),
        heartbeat: Duration::from_secs(10),
        deleted_machine_grace: Duration::from_secs(30),
        unknown_machine_grace: None,
    }
}

impl Stage {
    fn clock(&self, chance: &mut Chance) -> Arc<SimClock> {
        let clock = Arc::new(self.sim.clock.of_another());
        self.set_clock(&clock, chance);
        clock
    }

    /// Sets a daemon's clock to any time around the database's.
    pub(super) fn set_clock(&self, clock: &SimClock, chance: &mut Chance) {
        if self.wrong_clocks {
            let ahead = i64::try_from(chance.below(2 * HOURS)).unwrap_or(0);
            clock.set_wrong_by(ahead - i64::try_from(HOURS).unwrap_or(0));
        }
    }

    /// Starts a taskmanager in its place, whatever became of the one before.
    pub(super) fn start_taskmanager(&self, place: usize, name: &str, chance: &mut Chance) {
        let clock = self.clock(chance);
        let (number, world) = self.sim.incarnation_by(Arc::clone(&clock));
        self.happened("start", || format!("taskmanager {name} starts as #{number}"));
        let shutdown = CancellationToken::new();
        let engine = Engine::new(world, options(name), shutdown.clone());
        let daemon = engine.clone();
        aside(async move {
            // One that cannot begin is started again.
            while daemon.reclaim().await.is_err() {
                sleep(Duration::from_secs(1)).await;
            }
            tokio::join!(daemon.run_sweeper(), daemon.run_orphan_sweeper(), daemon.run_monitor());
            daemon.drained().await;
        });
        let started = Taskmanager { name: name.to_owned(), number, clock, engine, shutdown, runs: true };
        let mut all = lock(&self.taskmanagers);
        match all.get_mut(place) {
            Some(before) => *before = started,
            None => all.push(started),
        }
    }

    /// Starts an api in its place.
    pub(super) fn start_api(&self, place: usize, chance: &mut Chance) {
        let (number, world) = self.sim.incarnation_by(self.clock(chance));
        self.happened("start", || format!("an api starts as #{number}"));
        let started = Api { number, world };
        let mut all = lock(&self.apis);
        match all.get_mut(place) {
            Some(before) => *before = started,
            None => all.push(started),
        }
    }

    /// An api that runs, for one request.
    pub(super) fn api(&self, chance: &mut Chance) -> Option<Api> {
        let all = lock(&self.apis);
        all.get(chance.below(all.len())).cloned()
    }

    /// Sends a message that may be lost, late, doubled, or overtaken by others.
    pub(super) fn publish(self: &Arc<Self>, wake: &WakeUp, chance: &mut Chance) {
        let (lost, doubled) = self.letters;
        let copies = if chance.happens(lost) { 0 } else { 1 + usize::from(chance.happens(doubled)) };
        for _ in 0..copies {
            let way = if chance.happens(700) {
                Duration::from_millis(2)
            } else {
                chance.between(Duration::ZERO, LONGEST_WAY)
            };
            let (stage, task, mut chance) = (Arc::clone(self), wake.task, chance.fork());
            aside(async move {
                sleep(way).await;
                // What a daemon holds when it dies, the broker gives to another.
                for _ in 0..3 {
                    let engine = {
                        let all = lock(&stage.taskmanagers);
                        let running: Vec<_> = all.iter().filter(|daemon| daemon.runs).collect();
                        running.get(chance.below(running.len())).map(|daemon| daemon.engine.clone())
                    };
                    if let Some(engine) = engine
                        && tokio::time::timeout(LONGEST_WAY, engine.offer(task)).await.is_ok()
                    {
                        return;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            });
        }
    }
}
