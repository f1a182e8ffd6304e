//! A seeded in-memory world that implements every port, in virtual time.
//!
//! It is made for asking "what if". One accident at a time, at a call of the asker's choice: [`Chaos`]. All of them
//! together, drawn from a seed, in a whole installation with many clusters: [`whole`]. Use it under
//! `tokio::time::pause`; time then jumps from one event to the next.

mod chaos;
mod clock;
mod compute;
mod guests;
mod mutation;
mod nodes;
mod store;
mod watch;
mod weather;
pub mod whole;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use chaos::{Chaos, Trouble};
pub use clock::SimClock;
pub use compute::SimCompute;
pub use guests::SimGuests;
pub use mutation::Mutation;
pub use nodes::Node;
use redtrove_core::instance::Instance;
use redtrove_core::{ClusterId, InstanceId, ProjectId};
pub use store::SimStore;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::World;
use crate::ports::Lease;

/// How long a caller waits for an answer; the call may arrive later than that.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// All that exists in the simulated world.
#[derive(Debug, Default)]
struct State {
    store: store::Tables,
    machines: compute::Machines,
    nodes: nodes::Nodes,
    chaos: chaos::Plan,
    watch: Option<Box<watch::Watch>>,
    /// The mistake that this world is to make.
    mutation: Option<Mutation>,
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

/// The parts of the world that a call can go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Store,
    Compute,
    Guests,
}

/// What a call of a port is about.
#[derive(Debug, Clone, Copy)]
struct Call {
    name: &'static str,
    port: Port,
    /// It may change what it goes to.
    changes: bool,
    cluster: Option<ClusterId>,
    instance: Option<InstanceId>,
    /// The lease token, or the generation, that it is made with.
    token: Option<u64>,
}

impl Call {
    /// A call that only reads the database.
    fn read(name: &'static str) -> Self {
        Self { name, port: Port::Store, changes: false, cluster: None, instance: None, token: None }
    }

    /// A call that changes the database.
    fn write(name: &'static str) -> Self {
        Self { changes: true, ..Self::read(name) }
    }

    /// One that needs the lease of a task.
    fn held(name: &'static str, lease: &Lease) -> Self {
        Self { cluster: Some(lease.cluster), token: Some(lease.token), ..Self::write(name) }
    }

    fn compute(name: &'static str, instance: Option<InstanceId>) -> Self {
        Self { port: Port::Compute, changes: instance.is_some(), instance, ..Self::read(name) }
    }

    /// A call of a guest; with a generation, one that changes it.
    fn guest(name: &'static str, instance: InstanceId, generation: Option<u64>) -> Self {
        let (instance, changes) = (Some(instance), generation.is_some());
        Self { port: Port::Guests, instance, changes, token: generation, ..Self::read(name) }
    }
}

impl Sim {
    /// An empty world in which ids, jitter and latencies follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::default(), clock: Arc::new(SimClock::new(seed)), born: Instant::now() }
    }

    /// The world as one run of a daemon sees it.
    pub fn incarnation(&self) -> World {
        self.incarnation_by(Arc::clone(&self.clock)).1
    }

    /// The same by a clock of its own, with the number of the run.
    fn incarnation_by(&self, clock: Arc<SimClock>) -> (u32, World) {
        let number = self.lock().chaos.new_incarnation();
        (number, self.world(number, clock))
    }

    fn world(&self, number: u32, clock: Arc<SimClock>) -> World {
        let incarnation = Incarnation { sim: self.clone(), number };
        World {
            store: Arc::new(SimStore(incarnation.clone())),
            compute: Arc::new(SimCompute(incarnation.clone())),
            guests: Arc::new(SimGuests(incarnation)),
            clock,
        }
    }

    /// The world as somebody sees it whom no chaos touches, and whose calls do not count.
    pub fn observer(&self) -> World {
        self.world(chaos::OBSERVER, Arc::clone(&self.clock))
    }

    /// What is to go wrong from now on; counting of calls starts again.
    pub fn set_chaos(&self, chaos: Chaos) {
        self.lock().chaos.set(chaos);
    }

    /// Makes the world make a mistake from now on.
    pub fn mutate(&self, mutation: Option<Mutation>) {
        let mut state = self.lock();
        (state.mutation, state.store.mutation) = (mutation, mutation);
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
    pub fn machines(&self) -> Vec<InstanceId> {
        self.lock().machines.ids()
    }

    /// The instances whose machines are gone and whose addresses are held back.
    pub fn held_addresses(&self) -> Vec<InstanceId> {
        self.lock().machines.held()
    }

    /// The node on an instance's machine, once it was prepared.
    pub fn node(&self, instance: InstanceId) -> Option<Node> {
        self.lock().nodes.get(instance).cloned()
    }

    /// Lets a test change a node behind the engine's back.
    pub fn change_node(&self, instance: InstanceId, change: impl FnOnce(&mut Node)) {
        let now = self.elapsed();
        let mut state = self.lock();
        state.nodes.advance(now);
        if let Some(node) = state.nodes.touch(instance) {
            change(node);
            node.away_since = if node.is_up() { None } else { node.away_since.or(Some(now)) };
        }
    }

    /// Lets a test change an instance's row behind the engine's back.
    pub fn change_instance(&self, instance: InstanceId, change: impl FnOnce(&mut Instance)) {
        if let Some((_, instance)) = self.lock().store.instances.get_mut(&instance) {
            change(instance);
        }
    }

    /// What a project uses of "instances" and "volumes".
    pub fn used(&self, project: &ProjectId) -> (i64, i64) {
        self.lock().store.used(project)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self) -> Duration {
        self.born.elapsed()
    }
}

impl State {
    /// Whether the instance's node answers nobody who calls it.
    fn is_cut_off(&self, instance: InstanceId) -> bool {
        self.nodes.get(instance).is_some_and(|node| node.down || node.silent)
    }

    /// Has the watch look at what somebody did.
    fn watched(&mut self, look: impl FnOnce(&mut watch::Watch, &Self)) {
        if let Some(mut watch) = self.watch.take() {
            look(&mut watch, self);
            self.watch = Some(watch);
        }
    }
}

impl Incarnation {
    #[expect(clippy::panic, reason = "the simulated mistake")]
    fn panic(name: &str) -> ! {
        panic!("{name} panics, as it was told to");
    }

    /// One call of a port: `effect` is what it does to the world, `fail` what the caller sees of trouble.
    async fn call<T: Send + 'static, E: Send + 'static>(
        &self,
        call: Call,
        mut effect: impl FnMut(&mut State, Duration) -> Result<T, E> + Send + 'static,
        fail: impl Fn(Trouble) -> E + Send,
    ) -> Result<T, E> {
        // Every call takes a little, so that those made at the same time interleave.
        sleep(crate::Clock::jitter(&*self.sim.clock, Duration::from_millis(3))).await;
        let fate = {
            let mut state = self.sim.lock();
            let cut_off = call.instance.is_some_and(|instance| state.is_cut_off(instance));
            state.chaos.fate(self.number, &call, self.sim.elapsed(), cut_off)
        };
        if fate.panics {
            Self::panic(call.name);
        }
        let answer = if fate.times == 0 {
            None
        } else if fate.delayed.is_zero() {
            let answer = self.carry_out(call, fate.times, &mut effect);
            if let Some(later) = fate.again {
                let me = self.clone();
                aside(async move {
                    sleep(later).await;
                    me.carry_out(call, 1, &mut effect);
                });
            }
            answer
        } else {
            // It is on its way, and arrives whether or not anybody waits for its answer any more.
            let (tell, told) = oneshot::channel();
            let me = self.clone();
            aside(async move {
                sleep(fate.delayed).await;
                let _ = tell.send(me.carry_out(call, fate.times, &mut effect));
            });
            match timeout(ANSWERS_WITHIN, told).await {
                Ok(answer) => answer.unwrap_or(None),
                Err(_) => Some(Err(fail(Trouble::Transient))),
            }
        };
        if !fate.late.is_zero() {
            sleep(fate.late).await;
        }
        self.hear().await;
        match (fate.dies, fate.trouble, answer) {
            (false, Some(trouble), _) => Err(fail(trouble)),
            (false, None, Some(answer)) => answer,
            _ => std::future::pending().await,
        }
    }

    /// Does what the call says, `times` times.
    fn carry_out<T, E>(
        &self,
        call: Call,
        times: u8,
        effect: &mut impl FnMut(&mut State, Duration) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let now = self.sim.elapsed();
        let mut state = self.sim.lock();
        if call.port != Port::Store {
            state.nodes.advance(now);
        }
        let mut answer = None;
        for _ in 0..times {
            answer = Some(effect(&mut state, now));
        }
        let done = answer.as_ref().is_some_and(Result::is_ok);
        state.watched(|watch, state| watch.after(state, self.number, &call, done, now));
        answer
    }

    /// A daemon that is stopped hears an answer when it goes on, and a dead one never.
    async fn hear(&self) {
        loop {
            let stopped = self.sim.lock().chaos.stopped_for(self.number, self.sim.elapsed());
            match stopped {
                None => std::future::pending().await,
                Some(length) if length.is_zero() => return,
                Some(length) => sleep(length).await,
            }
        }
    }
}

/// Runs something on the side: nobody waits for it, and it ends with its world.
#[expect(clippy::disallowed_methods, reason = "nobody can wait for the dead, and letters arrive without their sender")]
fn aside(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}
