//! redtrove-taskmanager: runs the tasks, and the operator's verbs.

pub mod config;
pub mod daemon;
pub mod metrics;
pub mod pki;
mod system;
pub mod verbs;
mod wake;

pub use config::Config;
pub use redtrove_service::SystemClock;
