//! The domain of redtrove without I/O: words, rules and plans.
//!
//! Nothing here reads a clock, opens a socket or makes an id; whatever a decision needs comes in as an
//! argument. That keeps every rule of the product testable as a function.

pub mod catalogue;
pub mod clock;
pub mod cluster;
pub mod fault;
pub mod ids;
pub mod instance;
pub mod placement;
pub mod plan;
pub mod request;
pub mod settings;
pub mod slots;
pub mod status;
pub mod time;
pub mod topology;

pub use clock::Clock;
pub use fault::{Fault, FaultKind};
pub use ids::{ClusterId, InstanceId, NodeId, ProjectId, RequestId, TaskId};
pub use slots::{SlotRange, SlotSet};
pub use time::Timestamp;
