//! Everything the engine needs of the world. Adapters implement these; so does the simulated world.

mod answer;
mod bus;
mod compute;
mod guests;
mod operators;
mod quota;
mod store;
mod submission;
mod upkeep;
mod work;

pub use answer::{ANSWERS_KEPT, Body, KeptAnswer, LateAnswer, RequestKey};
pub use bus::{Bus, BusError, NoBus, WakeUp};
pub use compute::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};
pub use guests::{Guest, GuestError, GuestStatus, Guests, Order, PrepareSpec, Seen};
pub use operators::OperatorCluster;
pub use quota::{Limits, Resource, Usage};
pub use redtrove_core::Clock;
pub use store::{NewVersion, Store, StoreError, SubmitError};
pub use submission::{DeleteSubmitted, ENDED_BY_RESET, Growth, Joiner, NewCluster, NewInstance, NewTask};
pub use upkeep::{
    Amendment, OPERATION_LOST, ORPHANS_ARE_SEEN_WITHIN, OpenTask, Orphan, TASK_ASTRAY, Upkeep, UsageDifference, Watched,
};
pub use work::{BegunStep, Change, Claimed, EndedStep, Ending, HIGHEST_SEEN, Lease, Outcome, Record, RemovedNode};
