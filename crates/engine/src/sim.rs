//! A seeded in-memory world that implements every port, in virtual time.
//!
//! It is made for asking "what if": the taskmanager dies before or after any call, an answer is lost, a call is
//! carried out twice, a method fails once or for good. Use it under `tokio::time::pause`; time then jumps from one
//! event to the next.

mod chaos;
mod clock;
mod compute;
mod guests;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use chaos::{Chaos, Trouble};
pub use clock::SimClock;
pub use compute::SimCompute;
pub use guests::{Node, SimGuests};
pub use store::SimStore;
use tokio::time::Instant;

use crate::World;

/// All that exists in the simulated world.
#[derive(Debug, Default)]
struct State {
    store: store::Tables,
    machines: compute::Machines,
    nodes: guests::Nodes,
    chaos: chaos::Plan,
}

/// A simulated world. Clones are the same world.
#[derive(Debug, Clone)]
pub struct Sim {
    state: Arc<Mutex<State>>,
    clock: Arc<SimClock>,
    born: Instant,
}

/// One run of a daemon in the simulated world. When the chaos kills it, none of its calls ever returns again.
#[derive(Debug, Clone)]
struct Incarnation {
    sim: Sim,
    number: u32,
}

impl Sim {
    /// An empty world in which ids, jitter and latencies follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::default(), clock: Arc::new(SimClock::new(seed)), born: Instant::now() }
    }

    /// The world as one run of a daemon sees it.
    pub fn incarnation(&self) -> World {
        let number = self.lock().chaos.new_incarnation();
        self.world(number)
    }

    fn world(&self, number: u32) -> World {
        let incarnation = Incarnation { sim: self.clone(), number };
        World {
            store: Arc::new(SimStore(incarnation.clone())),
            compute: Arc::new(SimCompute(incarnation.clone())),
            guests: Arc::new(SimGuests(incarnation)),
            clock: Arc::clone(&self.clock) as Arc<dyn crate::Clock>,
        }
    }

    /// The world as somebody sees it whom no chaos touches, and whose calls do not count.
    pub fn observer(&self) -> World {
        self.world(chaos::OBSERVER)
    }

    /// What is to go wrong from now on; counting of calls starts again.
    pub fn set_chaos(&self, chaos: Chaos) {
        self.lock().chaos.set(chaos);
    }

    /// How many calls were made since the chaos was set.
    pub fn calls(&self) -> u64 {
        self.lock().chaos.calls()
    }

    /// Waits until the chaos has killed the newest incarnation.
    pub async fn killed(&self) {
        let died = self.lock().chaos.died();
        died.notified().await;
    }

    /// The instances that have a machine.
    pub fn machines(&self) -> Vec<redtrove_core::InstanceId> {
        self.lock().machines.ids()
    }

    /// The instances whose machines are gone and whose addresses are held back.
    pub fn held_addresses(&self) -> Vec<redtrove_core::InstanceId> {
        self.lock().machines.held()
    }

    /// The node on an instance's machine, once it was prepared.
    pub fn node(&self, instance: redtrove_core::InstanceId) -> Option<Node> {
        self.lock().nodes.get(instance)
    }

    /// Lets a test change a node behind the engine's back.
    pub fn change_node(&self, instance: redtrove_core::InstanceId, change: impl FnOnce(&mut Node)) {
        self.lock().nodes.change(instance, change);
    }

    /// What a project uses of "instances" and "volumes".
    pub fn used(&self, project: &redtrove_core::ProjectId) -> (i64, i64) {
        self.lock().store.used(project)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.born.elapsed()
    }
}

impl Incarnation {
    #[expect(clippy::panic, reason = "the simulated mistake")]
    fn panic(name: &str) -> ! {
        panic!("{name} panics, as it was told to");
    }

    /// One call of a port: `effect` is what it does to the world, `fail` what the caller sees of trouble.
    async fn call<T>(
        &self,
        name: &'static str,
        mut effect: impl FnMut(&mut State, Duration) -> T,
        fail: impl Fn(Trouble) -> T,
    ) -> T {
        // Every call takes a little, so that those made at the same time interleave.
        let latency = crate::Clock::jitter(&*self.sim.clock, Duration::from_millis(3));
        tokio::time::sleep(latency).await;
        let mut fate = self.sim.lock().chaos.fate(self.number, name);
        if !fate.frozen.is_zero() {
            tokio::time::sleep(fate.frozen).await;
        }
        if fate.panics {
            Self::panic(name);
        }
        let answer = {
            let mut state = self.sim.lock();
            fate.dies |= state.chaos.is_dead(self.number);
            let now = self.sim.elapsed();
            let mut answer = None;
            for _ in 0..fate.times {
                answer = Some(effect(&mut state, now));
            }
            match (fate.dies, fate.trouble) {
                (true, _) => None,
                (false, Some(trouble)) => Some(fail(trouble)),
                (false, None) => answer,
            }
        };
        tokio::time::sleep(fate.late).await;
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}
