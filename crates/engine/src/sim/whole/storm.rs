//! The storm: daemons die, are stopped and started, nodes go and come back, the database is away, clocks are set.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::InstanceId;
use tokio::time::sleep;

use super::daemons::NAMES;
use super::{Stage, lock};
use crate::sim::aside;
use crate::sim::clock::Chance;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    KillTaskmanager,
    StopTaskmanager,
    EndTaskmanager,
    KillApi,
    DatabaseAway,
    ProviderAway,
    SilentAgent,
    StoppedRedis,
    DeadNode,
    SetClock,
}

const ALL: [Blow; 10] = [
    Blow::KillTaskmanager,
    Blow::StopTaskmanager,
    Blow::EndTaskmanager,
    Blow::KillApi,
    Blow::DatabaseAway,
    Blow::ProviderAway,
    Blow::SilentAgent,
    Blow::StoppedRedis,
    Blow::DeadNode,
    Blow::SetClock,
];

/// Blows until the story is over. Each storm has its own kinds of blows.
pub(super) async fn run(stage: Arc<Stage>, mut chance: Chance) {
    let kinds: Vec<Blow> = ALL.into_iter().filter(|_| chance.happens(600)).collect();
    let pause = chance.between(Duration::from_secs(2), Duration::from_secs(60));
    let longest = chance.between(Duration::from_secs(2), Duration::from_secs(90));
    loop {
        sleep(chance.between(Duration::from_millis(50), pause)).await;
        if stage.is_over() {
            return;
        }
        if let Some(blow) = chance.pick(&kinds) {
            let length = chance.between(Duration::from_millis(100), longest);
            stage.strike(blow, length, &mut chance);
        }
    }
}

impl Stage {
    fn strike(self: &Arc<Self>, blow: Blow, length: Duration, chance: &mut Chance) {
        let now = self.sim.elapsed();
        match blow {
            Blow::KillTaskmanager | Blow::StopTaskmanager | Blow::EndTaskmanager | Blow::SetClock => {
                self.strike_taskmanager(blow, length, chance);
            }
            Blow::KillApi => {
                let place = chance.below(lock(&self.apis).len());
                let number = lock(&self.apis).get(place).map(|api| api.number);
                if let Some(number) = number {
                    self.sim.lock().chaos.kill(number);
                    self.happened("kill", || format!("#{number}, an api, is killed"));
                }
                self.start_api(place, chance);
            }
            Blow::DatabaseAway | Blow::ProviderAway => {
                self.happened("away", || format!("{blow:?} for {length:?}"));
                if let Some(weather) = &mut self.sim.lock().chaos.weather {
                    match blow {
                        Blow::DatabaseAway => weather.database_away_until = now + length,
                        _ => weather.provider_away_until = now + length,
                    }
                }
            }
            Blow::SilentAgent | Blow::StoppedRedis | Blow::DeadNode => self.strike_node(blow, length, chance),
        }
    }

    fn strike_taskmanager(self: &Arc<Self>, blow: Blow, length: Duration, chance: &mut Chance) {
        let place = chance.below(lock(&self.taskmanagers).len());
        let struck = {
            let mut all = lock(&self.taskmanagers);
            all.get_mut(place).filter(|daemon| daemon.runs).map(|daemon| {
                daemon.runs = !matches!(blow, Blow::KillTaskmanager | Blow::EndTaskmanager);
                if blow == Blow::EndTaskmanager {
                    daemon.shutdown.cancel();
                }
                (daemon.number, daemon.name.clone(), Arc::clone(&daemon.clock), daemon.runs)
            })
        };
        let Some((number, name, clock, runs)) = struck else { return };
        self.happened("strike", || format!("{blow:?}: #{number}, {name}, for {length:?}"));
        match blow {
            Blow::KillTaskmanager => self.sim.lock().chaos.kill(number),
            Blow::StopTaskmanager => {
                let until = self.sim.elapsed() + length;
                self.sim.lock().chaos.stop(number, until);
            }
            Blow::SetClock => self.set_clock(&clock, chance),
            _ => {}
        }
        if !runs {
            // It comes back under its name, or as another; now and then two have the same name.
            let name = match chance.below(10) {
                0 => format!("{name}-{number}"),
                1 => chance.pick(&NAMES).unwrap_or_default().to_owned(),
                _ => name,
            };
            let (stage, mut chance) = (Arc::clone(self), chance.fork());
            aside(async move {
                sleep(length).await;
                if !stage.is_over() {
                    stage.start_taskmanager(place, &name, &mut chance);
                }
            });
        }
    }

    fn strike_node(self: &Arc<Self>, blow: Blow, length: Duration, chance: &mut Chance) {
        let now = self.sim.elapsed();
        let struck = {
            let mut state = self.sim.lock();
            state.nodes.advance(now);
            let up: Vec<InstanceId> =
                state.nodes.all().filter(|(_, node)| node.is_up() && !node.silent).map(|(id, _)| id).collect();
            let struck = chance.pick(&up);
            if let Some(node) = struck.and_then(|id| state.nodes.touch(id)) {
                match blow {
                    Blow::SilentAgent => node.silent = true,
                    Blow::StoppedRedis => node.stopped = true,
                    _ => node.down = true,
                }
                node.away_since = (!node.is_up()).then_some(now);
            }
            struck
        };
        let Some(struck) = struck else { return };
        self.happened("strike", || format!("{blow:?}: {struck}, for {length:?}"));
        let stage = Arc::clone(self);
        aside(async move {
            sleep(length).await;
            stage.mend(struck);
        });
    }

    /// The node is back, if it was away.
    pub(super) fn mend(&self, instance: InstanceId) {
        let now = self.sim.elapsed();
        let mended = {
            let mut state = self.sim.lock();
            state.nodes.advance(now);
            let away = state.nodes.get(instance).is_some_and(|node| !node.is_up() || node.silent);
            if let Some(node) = state.nodes.touch(instance).filter(|_| away) {
                node.silent = false;
                if !node.is_up() {
                    node.start(now);
                }
            }
            away
        };
        if mended {
            self.happened("mend", || format!("{instance} is back"));
        }
    }
}
