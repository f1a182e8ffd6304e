//! Everything the engine needs of the world. Adapters implement these; so does the simulated world.

mod bus;
mod compute;
mod guests;
mod store;

pub use bus::{Bus, BusError, NoBus, WakeUp};
pub use compute::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};
pub use guests::{Guest, GuestError, GuestStatus, Guests, Order, PrepareSpec, Seen};
pub use redtrove_core::Clock;
pub use store::{
    BegunStep, Change, Claimed, DeleteSubmitted, EndedStep, Ending, Growth, HIGHEST_SEEN, Joiner, Lease, Limits,
    NewCluster, NewInstance, NewTask, NewVersion, Outcome, Record, RemovedNode, Store, StoreError, SubmitError,
};
