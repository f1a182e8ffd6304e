//! Durable tasks: ports, submit, runner, sweeper, monitor and the simulated world.
//!
//! The database row is the truth and a message is a wake-up; every operation is a task that plans from what it
//! sees. The engine knows the world only through its [`ports`].

pub mod ports;
pub mod submit;
pub mod task;

pub use ports::{Bus, Clock, Compute, Guests, Store};
