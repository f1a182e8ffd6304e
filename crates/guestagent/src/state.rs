//! What this node is, kept on disk: the request that prepared it and whether its cluster is complete.

use std::collections::BTreeMap;

use redtrove_core::settings::Settings;
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, InstanceId};
use serde::{Deserialize, Serialize};

use crate::acl::Tenants;
use crate::failure::Failure;
use crate::home::Home;

const FILE: &str = "state.json";

/// What `Prepare` asked for. Two that are equal are the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The server to run.
    pub engine: Engine,
    /// The cluster that the node is a member of, for ever.
    pub cluster: ClusterId,
    /// The agent's own instance.
    pub instance: InstanceId,
    /// The memory of the machine's flavor, MB.
    pub ram_mb: u64,
    /// The size of its volume, GB.
    pub volume_gb: u64,
    /// The datastore's settings, checked when they came in.
    pub settings: BTreeMap<String, String>,
}

/// A prepared node's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// What it was prepared with.
    pub prepared: Prepared,
    /// `ClusterComplete` was called: tenants are let in, also after restarts.
    pub complete: bool,
}

impl NodeState {
    /// The settings it was prepared with. They were checked then, so that what fails here is the file or its age.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::check(self.prepared.settings.clone()).map_err(|error| Failure::Internal(error.to_string()))
    }

    /// Whether tenants are let in.
    pub fn tenants(&self) -> Tenants {
        if self.complete { Tenants::Open } else { Tenants::Closed }
    }

    /// Reads the state; absent before the node is prepared.
    pub fn load(home: &Home) -> Result<Option<Self>, Failure> {
        let text = home.read(FILE).map_err(|error| Failure::file(FILE, &error))?;
        let unreadable = |error| Failure::Internal(format!("the file {FILE} does not hold a node's state: {error}"));
        text.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()
    }

    /// Puts the state on the disk.
    pub fn save(&self, home: &Home) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::Internal(error.to_string()))?;
        home.write(FILE, &text).map_err(|error| Failure::file(FILE, &error))
    }

    /// Makes the node an unprepared one again.
    pub fn forget(home: &Home) -> Result<(), Failure> {
        home.remove(FILE).map_err(|error| Failure::file(FILE, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_outlives_the_agent() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        assert_eq!(NodeState::load(&home).unwrap(), None);
        let id = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        let prepared = Prepared {
            engine: Engine::Redis,
            cluster: id.parse().unwrap(),
            instance: id.parse().unwrap(),
            ram_mb: 512,
            volume_gb: 1,
            settings: [("appendfsync".to_owned(), "always".to_owned())].into(),
        };
        let state = NodeState { prepared, complete: true };
        state.save(&home).unwrap();
        assert_eq!(NodeState::load(&home).unwrap(), Some(state));
        NodeState::forget(&home).unwrap();
        assert_eq!(NodeState::load(&home).unwrap(), None);
        home.write(FILE, "{}").unwrap();
        assert!(NodeState::load(&home).unwrap_err().to_string().contains(FILE));
    }
}
