//! Where machines come from.

use async_trait::async_trait;
use redtrove_core::catalogue::Flavor;
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, Fault, InstanceId};

/// A machine to be made for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSpec {
    /// The instance; the machine is named and tagged by it, which makes making it repeatable.
    pub id: InstanceId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name, for people.
    pub name: String,
    /// The id of its flavor.
    pub flavor_id: String,
    /// The size of its volume, GB.
    pub volume_gb: u64,
    /// The server it is to run.
    pub engine: Engine,
}

/// How far a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// The provider is making it.
    Building,
    /// It exists; its redis-server and its agent are at this address.
    Ready {
        /// An IPv4 or IPv6 address.
        ip: String,
    },
}

/// What is left of a machine that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing; an address that was held back is free, too.
    Nothing,
    /// Its address, so that nobody else gets it: others may still look for its node there.
    Address,
}

/// How far the end of a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// The provider is removing it.
    Going,
    /// There is none, and nothing it held.
    Gone,
}

/// Trouble with the provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// It may work later: the provider is down or busy.
    #[error("compute: {0}")]
    Transient(String),
    /// It will never work: no such flavor, a quota of the provider. The fault is for the tenant.
    #[error("compute: {0}")]
    Permanent(Fault),
}

/// A provider of machines. Every method may be repeated.
#[async_trait]
pub trait Compute: Send + Sync + 'static {
    /// Finds the machine of the instance, or makes it.
    async fn ensure(&self, spec: &InstanceSpec) -> Result<Machine, ComputeError>;

    /// Removes the machine of the instance with all it holds but what is kept, if there is one. What was kept goes
    /// when it is called once more to keep nothing.
    async fn destroy(&self, id: InstanceId, keep: Keep) -> Result<Destroyed, ComputeError>;

    /// Every instance that the provider has something for, be it only an address.
    async fn list(&self) -> Result<Vec<InstanceId>, ComputeError>;

    /// The sizes of machine that it offers.
    async fn flavors(&self) -> Result<Vec<Flavor>, ComputeError>;
}
