//! What a tenant can choose from: datastores, their versions, flavors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{DatastoreId, DatastoreVersionId};
use crate::topology::Engine;

/// A datastore with its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Its id.
    pub id: DatastoreId,
    /// Its name, unique: "redis".
    pub name: String,
    /// Its versions, by name.
    pub versions: Vec<DatastoreVersion>,
}

impl Datastore {
    /// The version that `wanted` means, by id or name.
    pub fn version(&self, wanted: &str) -> Option<&DatastoreVersion> {
        self.versions.iter().find(|version| version.name == wanted || version.id.to_string() == wanted)
    }

    /// The version that is taken where none is asked for.
    pub fn default_version(&self) -> Option<&DatastoreVersion> {
        self.versions.iter().find(|version| version.is_default && version.active)
    }
}

/// One version of a datastore. Its name is a label that the operator chooses; the node's agent reads what really runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatastoreVersion {
    /// Its id.
    pub id: DatastoreVersionId,
    /// Its name, unique in its datastore: "7.0".
    pub name: String,
    /// The server that its nodes run.
    pub engine: Engine,
    /// Whether new clusters may be made of it.
    pub active: bool,
    /// Whether it is taken where none is asked for.
    pub is_default: bool,
    /// redis.conf settings that replace the product's defaults.
    pub settings: BTreeMap<String, String>,
}

/// The datastore and version of a cluster, with what is shown of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatastoreLabel {
    /// The version's id.
    pub version_id: DatastoreVersionId,
    /// The datastore's name.
    pub datastore: String,
    /// The version's name.
    pub version: String,
}

/// A size of machine. The compute provider owns them; the taskmanager publishes them to the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flavor {
    /// Its id, 1 to 64 characters, often a number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Memory, MB.
    pub ram: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Root disk, GB.
    #[serde(default)]
    pub disk: u64,
    /// Ephemeral disk, GB; where there are no volumes, data lives on it.
    #[serde(default)]
    pub ephemeral: u64,
}
