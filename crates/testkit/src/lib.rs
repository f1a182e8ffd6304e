//! Starts real servers and our binaries on private ports for the tests, the demo and the benchmarks.
//!
//! Plain blocking code on purpose: the developer's door (`cargo xtask`) is built from this crate and has to show
//! its first line within seconds on a machine that has compiled nothing yet.

pub mod clients;
mod files;
pub mod http;
pub mod install;
pub mod keystone;
pub mod logs;
pub mod mariadb;
pub mod process;
pub mod rabbitmq;
pub mod redis;
pub mod small_disk;
pub mod stack;
pub mod venv;
pub mod wait;

pub use process::{Launch, Process};
pub use small_disk::SmallDisk;
pub use stack::{Stack, StackOptions};
pub use wait::{pause, wait_for, wait_until_well};
