//! Machines that are directories on this one: for development, tests and demonstrations, and for a whole
//! installation on a single host.
//!
//! Every state that a killed taskmanager can leave is one that the next [`Compute::ensure`] or
//! [`Compute::destroy`] of the instance finishes; any number of taskmanagers may share the directory.

mod agent;
mod claims;
mod config;
mod destroy;
mod ensure;
mod layout;
mod lock;
mod machine;
mod process;
mod supervise;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::InstanceId;
use redtrove_core::catalogue::Flavor;
use redtrove_engine::ports::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::config::{AddressBlock, InvalidBlock, LocalConfig};
use crate::Issuer;

/// The ports of a Redis Cluster node: for clients, and 10000 above it for the other nodes.
const REDIS_PORTS: [u16; 2] = [6379, 16379];
/// How long to wait for another taskmanager that makes or removes the same instance.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// The provider cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The instances' directory cannot be made or read.
    #[error("cannot use {} as the instances' directory", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no guest agent to start.
    #[error("cannot use {} as the guest agent", path.display())]
    Guestagent {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The local provider. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Local(Arc<Inner>);

struct Inner {
    config: LocalConfig,
    agent_port: u16,
    issuer: Arc<dyn Issuer>,
    layout: layout::Layout,
    claims: claims::Claims,
    agents: agent::Agents,
    /// What the kernel calls the engines' programs.
    servers: Vec<String>,
}

impl Local {
    /// Opens the provider; makes the instances' directory if need be. The agents listen on `agent_port`.
    ///
    /// # Errors
    /// The directory or the guest agent's program cannot be used.
    pub fn open(config: LocalConfig, agent_port: u16, issuer: Arc<dyn Issuer>) -> Result<Self, OpenError> {
        let layout = layout::Layout::open(&config.directory)
            .map_err(|source| OpenError::Directory { path: config.directory.clone(), source })?;
        agent::check_program(&config.guestagent)
            .map_err(|source| OpenError::Guestagent { path: config.guestagent.clone(), source })?;
        let [client, bus] = REDIS_PORTS;
        let claims = claims::Claims {
            directory: layout.addresses(),
            block: config.address_block,
            ports: [client, bus, agent_port],
        };
        let mut servers = vec!["redis-server".to_owned(), "valkey-server".to_owned()];
        servers.extend(config.engines.values().filter_map(|path| process::kernel_name(path)));
        let agents = agent::Agents::new(config.guestagent.clone());
        Ok(Self(Arc::new(Inner { config, agent_port, issuer, layout, claims, agents, servers })))
    }

    /// Reaps agents that ended and, if the configuration says so, starts them again, until `shutdown`; the agents
    /// themselves stay.
    pub async fn run_supervisor(&self, shutdown: CancellationToken) {
        supervise::run(&self.0, shutdown).await;
    }

    /// Runs blocking work where it blocks nobody.
    async fn blocking<T, F>(&self, work: F) -> Result<T, ComputeError>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Inner>) -> Result<T, ComputeError> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(ComputeError::Transient(format!("the work was cut short: {error}"))))
    }

    /// The lock of an instance; none if another process still has it after some time.
    async fn lock(&self, id: InstanceId) -> Result<Option<File>, ComputeError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let path = self.0.layout.lock(id);
            let lock = self.blocking(move |_| lock::try_lock(&path).map_err(|e| transient("cannot lock", e))).await?;
            if lock.is_some() || Instant::now() >= deadline {
                return Ok(lock);
            }
            sleep(LOCK_RETRY).await;
        }
    }
}

/// Trouble with the disk or the process table: it may be gone the next time.
fn transient(what: &str, error: impl std::fmt::Display) -> ComputeError {
    ComputeError::Transient(format!("{what}: {error}"))
}

#[async_trait]
impl Compute for Local {
    async fn ensure(&self, spec: &InstanceSpec) -> Result<Machine, ComputeError> {
        let flavor = self.0.flavor_of(spec)?.clone();
        let Some(lock) = self.lock(spec.id).await? else {
            return Err(ComputeError::Transient(format!("somebody else is at instance {}", spec.id)));
        };
        let spec = spec.clone();
        let ip = self
            .blocking(move |inner| {
                let made = inner.ensure(&spec, &flavor);
                drop(lock);
                made
            })
            .await?;
        Ok(Machine::Ready { ip: ip.to_string() })
    }

    async fn destroy(&self, id: InstanceId, keep: Keep) -> Result<Destroyed, ComputeError> {
        // Whoever has had the lock for that long is stopped or stuck, and must not keep an instance alive. What it
        // does when it wakes up is undone by itself or seen by `list`.
        let lock = self.lock(id).await?;
        let destroyed = destroy::run(&self.0, id, keep).await;
        drop(lock);
        destroyed
    }

    async fn list(&self) -> Result<Vec<InstanceId>, ComputeError> {
        self.blocking(|inner| inner.list().map_err(|error| transient("cannot list the instances", error))).await
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, ComputeError> {
        Ok(self.0.config.flavors.clone())
    }
}

impl Inner {
    /// Whatever has a directory, an address, a lock or a process.
    fn list(&self) -> io::Result<Vec<InstanceId>> {
        let mut ids: BTreeSet<InstanceId> = self.layout.all()?;
        ids.extend(self.claims.all()?.into_values());
        ids.extend(process::scan(&self.layout, &self.servers)?.iter().map(|found| found.instance));
        Ok(ids.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
