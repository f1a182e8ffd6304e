//! taskmanager.toml.

use std::path::PathBuf;
use std::time::Duration;

use redtrove_compute::LocalConfig;
use redtrove_guest_rpc::DEFAULT_PORT;
use redtrove_service::DaemonConfig;
use redtrove_service::config::{Bus, Complaint, Count, Database, Log, Monitoring, Port, Redis, Seconds};
use serde::{Deserialize, Serialize};

/// The taskmanager's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How tasks are run and members watched.
    #[serde(default)]
    pub taskmanager: Taskmanager,
    /// Where clusters and tasks are kept.
    pub database: Database,
    /// Where messages come from. Without the section there is no broker, and the sweeper alone finds the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<Bus>,
    /// The blueprint's options of the Redis datastore.
    #[serde(default)]
    pub redis: Redis,
    /// How guests are called.
    pub guests: Guests,
    /// The authority that guests' certificates come from.
    pub pki: Pki,
    /// Where machines come from.
    pub compute: Compute,
    /// What is logged.
    #[serde(default)]
    pub log: Log,
    /// Metrics and health. Without the section there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
}

/// `[taskmanager]`; Trove's names and defaults where Trove has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Taskmanager {
    /// The name of this taskmanager, its own among all on one database. Default: the machine's host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The most tasks that run here at the same time. Default 64.
    pub max_running_tasks: Count,
    /// How long the guests of a new cluster may take to be ready, seconds. Default 1800.
    pub usage_timeout: Seconds,
    /// How long a call to a guest may take that only reads, seconds. Default 15.
    pub agent_call_low_timeout: Seconds,
    /// How long a call to a guest may take that changes it, seconds. Default 180.
    pub agent_call_high_timeout: Seconds,
    /// The pause between two looks at every member, seconds. Default 10.
    pub agent_heartbeat_time: Seconds,
    /// How long a task stays claimed by a taskmanager that does not answer any more, seconds. Default 30.
    pub lease_seconds: Seconds,
    /// How long the machine of an instance that was deleted may stay before it is removed, seconds. Default 30.
    pub deleted_machine_grace: Seconds,
    /// How long a machine stays that no row knows, seconds; 0 is for ever. Default 604800, a week.
    pub unknown_machine_grace: u32,
    /// How long redis-server must have been up on every node before a cluster forms, seconds. Default 0: form at
    /// once. Other values are for measurements.
    pub min_uptime_before_forming: u32,
}

impl Default for Taskmanager {
    fn default() -> Self {
        Self {
            host: None,
            max_running_tasks: Count::clamped(64),
            usage_timeout: Seconds::clamped(1_800),
            agent_call_low_timeout: Seconds::clamped(15),
            agent_call_high_timeout: Seconds::clamped(180),
            agent_heartbeat_time: Seconds::clamped(10),
            lease_seconds: Seconds::clamped(30),
            deleted_machine_grace: Seconds::clamped(30),
            unknown_machine_grace: 604_800,
            min_uptime_before_forming: 0,
        }
    }
}

impl Taskmanager {
    /// How long a machine stays that no row knows; absent if for ever.
    pub fn unknown_machine_grace(&self) -> Option<Duration> {
        (self.unknown_machine_grace > 0).then(|| Duration::from_secs(self.unknown_machine_grace.into()))
    }
}

/// `[guests]`: PEM files, made by `redtrove-taskmanager pki`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guests {
    /// The authority that guests' certificates come from. Required.
    pub ca: PathBuf,
    /// This taskmanager's certificate, with the role `control`. Required.
    pub cert: PathBuf,
    /// Its private key. Required.
    pub key: PathBuf,
    /// The port of every guest agent. Default 8780.
    #[serde(default = "default_port")]
    pub port: Port,
}

fn default_port() -> Port {
    // 8780 is no zero, so there is nothing to fall back from.
    Port::new(DEFAULT_PORT).unwrap_or_else(|| unreachable!())
}

/// `[pki]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// Where `redtrove-taskmanager pki init` made the authority. Required.
    pub directory: PathBuf,
}

/// The kinds of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Processes on this machine.
    Local,
}

/// `[compute]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// Where machines come from: `local`. Required.
    pub provider: Provider,
    /// The settings of the provider `local`.
    pub local: LocalConfig,
}

impl DaemonConfig for Config {
    const DAEMON: &'static str = "taskmanager";

    fn log(&self) -> &Log {
        &self.log
    }

    fn check(&self) -> Result<(), Complaint> {
        let complain = |key, problem: &str| Err(Complaint { key, problem: problem.to_owned() });
        if let Some(host) = &self.taskmanager.host
            && !(1..=255).contains(&host.len())
        {
            return complain("taskmanager.host", "has to be 1 to 255 characters long");
        }
        if self.taskmanager.min_uptime_before_forming >= self.taskmanager.usage_timeout.get() {
            return complain("taskmanager.min_uptime_before_forming", "has to be less than usage_timeout");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redtrove_service::config::sample::compare;

    use super::*;

    #[test]
    fn the_sample_is_what_the_code_reads() {
        let problems = compare::<Config>(include_str!("../../../deploy/config/redtrove-taskmanager.toml"));
        // Of two keys that exclude each other a file can only have one; the other is in the prose above it.
        assert_eq!(problems, ["the sample does not show 'database.connection'"]);
    }
}
