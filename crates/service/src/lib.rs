//! What every daemon shares: configuration, logs, metrics and health, an orderly end, the system's clock.
//!
//! A daemon's `main` calls [`run::run`] with its arguments, its configuration type and a body; everything
//! before and after the body is the same for all three.

pub mod clock;
pub mod config;
pub mod health;
pub mod logs;
mod mask;
pub mod metrics;
pub mod notify;
pub mod pulse;
pub mod run;
pub mod secrets;
pub mod shutdown;
pub mod tls;

pub use clock::SystemClock;
pub use config::{CommonArgs, ConfigError, DaemonConfig};
pub use health::Health;
pub use metrics::Metrics;
pub use run::run;
pub use shutdown::Shutdown;
