//! The machine: its clock and its name.

use std::time::Duration;

use anyhow::Context;
use redtrove_core::Timestamp;
use redtrove_engine::Clock;
use redtrove_service::SystemClock;
use uuid::Uuid;

/// The system's clock and random numbers, as the engine knows them.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineClock(SystemClock);

impl Clock for EngineClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn random_id(&self) -> Uuid {
        self.0.random_id()
    }

    fn ordered_id(&self) -> Uuid {
        self.0.ordered_id()
    }

    fn jitter(&self, most: Duration) -> Duration {
        self.0.jitter(most)
    }
}

/// The machine's host name.
pub(crate) fn host_name() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}; set [taskmanager] host"))?;
    Ok(name.trim().to_owned())
}
