//! Requests that cannot be invalid: once one of these exists, nothing in it needs to be checked again.
//!
//! A door (REST today) reads its own format into a [`WantedCluster`], which is well-formed but unchecked.
//! [`CreateCluster::check`] holds it against what is on [`Offer`] and gives either a request that can be carried out
//! or the fault that the tenant sees.

mod check;
mod label;

use uuid::Uuid;

use crate::catalogue::{Datastore, DatastoreLabel, Flavor};
use crate::ids::InstanceId;
use crate::placement::{Locality, Placement};

pub use label::{InvalidLabel, Label};

/// No cluster is asked for with more members at once; Redis Cluster itself advises no more nodes.
pub const MOST_MEMBERS: usize = 1000;

/// What one new member is to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// The size of its machine.
    pub flavor: Flavor,
    /// The size of its volume, GB, 1 or more. Where there are no volumes, that of the flavor's ephemeral disk.
    pub volume_gb: u64,
    /// Where its machine is asked to be.
    pub placement: Placement,
}

/// A cluster to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateCluster {
    pub(crate) name: String,
    pub(crate) datastore: DatastoreLabel,
    pub(crate) members: Vec<MemberRequest>,
    pub(crate) locality: Option<Locality>,
}

impl CreateCluster {
    /// The cluster's name, 1 to 255 characters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is to run.
    pub fn datastore(&self) -> &DatastoreLabel {
        &self.datastore
    }

    /// Its members, 1 to 1000, in order.
    pub fn members(&self) -> &[MemberRequest] {
        &self.members
    }

    /// Where they are to be in relation to each other.
    pub fn locality(&self) -> Option<Locality> {
        self.locality
    }
}

/// Members to be added to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrowCluster {
    pub(crate) members: Vec<MemberRequest>,
}

impl GrowCluster {
    /// The new members, 1 to 1000, in order.
    pub fn members(&self) -> &[MemberRequest] {
        &self.members
    }
}

/// Members to be removed from a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShrinkCluster {
    pub(crate) leavers: Vec<InstanceId>,
}

impl ShrinkCluster {
    /// The leavers, 1 to 1000, each once, in the order they were named.
    pub fn leavers(&self) -> &[InstanceId] {
        &self.leavers
    }
}

/// A member as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantedMember {
    /// The id of its flavor.
    pub flavor: Option<String>,
    /// The size of its volume, GB.
    pub volume_gb: Option<u64>,
    /// Where its machine is to be.
    pub placement: Placement,
    /// The modules that are to be applied to it.
    pub modules: Vec<Uuid>,
}

/// A cluster as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedCluster {
    /// Its name.
    pub name: Label,
    /// The name or id of its datastore.
    pub datastore: Label,
    /// The name or id of the datastore's version.
    pub version: Option<Label>,
    /// Its members.
    pub members: Vec<WantedMember>,
    /// Where its members are to be in relation to each other.
    pub locality: Option<Label>,
    /// Whether a configuration group is asked for.
    pub configuration: bool,
}

/// What there is to choose from, and under which rules.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Every datastore.
    pub datastores: &'a [Datastore],
    /// Every flavor.
    pub flavors: &'a [Flavor],
    /// Whether clusters are made at all (`[redis] cluster_support`).
    pub cluster_support: bool,
    /// Whether members have volumes (`[redis] volume_support`).
    pub volume_support: bool,
    /// The largest volume, GB; negative for no limit (`[quota] max_accepted_volume_size`).
    pub max_volume_gb: i64,
}
