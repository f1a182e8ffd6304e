//! Requests that cannot be invalid: once one of these exists, nothing in it needs to be checked again.

use crate::catalogue::{DatastoreLabel, Flavor};

/// What one new member is to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// The size of its machine.
    pub flavor: Flavor,
    /// The size of its volume, GB, 1 or more.
    pub volume_gb: u64,
}

/// A cluster to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateCluster {
    pub(crate) name: String,
    pub(crate) datastore: DatastoreLabel,
    pub(crate) members: Vec<MemberRequest>,
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
}
