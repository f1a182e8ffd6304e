//! Everything the engine needs of the world. Adapters implement these; so does the simulated world.

mod answer;
mod bus;
mod compute;
mod guests;
mod operators;
mod quota;
mod store;

pub use answer::{ANSWERS_KEPT, Body, KeptAnswer, LateAnswer, RequestKey};
pub use bus::{Bus, BusError, NoBus, WakeUp};
pub use compute::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};
pub use guests::{Guest, GuestError, GuestStatus, Guests, Order, PrepareSpec, Seen};
pub use operators::OperatorCluster;
pub use quota::{Limits, Resource, Usage};
pub use redtrove_core::Clock;
pub use store::{
    BegunStep, Change, Claimed, DeleteSubmitted, ENDED_BY_RESET, EndedStep, Ending, Growth, HIGHEST_SEEN, Joiner,
    Lease, NewCluster, NewInstance, NewTask, NewVersion, Outcome, Record, RemovedNode, Store, StoreError, SubmitError,
};
