//! What this node is, kept on disk: the request that prepared it, whether its cluster is complete, and whether tenants
//! are shut out again.

use std::collections::BTreeMap;
use std::time::Duration;

use redtrove_core::settings::Settings;
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, InstanceId, NodeId, Timestamp};
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

/// Why tenants are shut out of a node that is to open by itself, or of one that leaves its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shut {
    /// `CloseToTenants` was called: until then, by the machine's clock. The clock counts only across a restart of the
    /// agent; while it runs, it measures time itself.
    Until(Timestamp),
    /// `LeaveCluster` has begun on the node with this id, and may have been cut short at any point.
    Leaving(NodeId),
    /// `LeaveCluster` is done: the id that the node had.
    Left(NodeId),
}

/// A prepared node's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// What it was prepared with.
    pub prepared: Prepared,
    /// `ClusterComplete` was called: tenants are let in, also after restarts, unless they are shut out since.
    pub complete: bool,
    /// Tenants are shut out. States written by agents that knew nothing of it are without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut: Option<Shut>,
}

impl NodeState {
    /// The settings it was prepared with. They were checked then, so that what fails here is the file or its age.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::check(self.prepared.settings.clone()).map_err(|error| Failure::Internal(error.to_string()))
    }

    /// Whether tenants are let in.
    pub fn tenants(&self) -> Tenants {
        if self.complete && self.shut.is_none() { Tenants::Open } else { Tenants::Closed }
    }

    /// How long the node is closed yet, if it is to open by itself: `longest` at most, whatever the clock was set to
    /// since it was closed.
    pub fn closed_for(&self, now: Timestamp, longest: Duration) -> Option<Duration> {
        match self.shut {
            Some(Shut::Until(until)) => Some(until.since(now).min(longest)),
            _ => None,
        }
    }

    /// The same state, with tenants shut out for this reason or for none.
    #[must_use]
    pub fn with_shut(&self, shut: Option<Shut>) -> Self {
        Self { shut, ..self.clone() }
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

    const NODE: &str = "07c37dfeb235213a872192d90877d0cd55635b91";

    fn complete() -> NodeState {
        let id = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        let prepared = Prepared {
            engine: Engine::Redis,
            cluster: id.parse().unwrap(),
            instance: id.parse().unwrap(),
            ram_mb: 512,
            volume_gb: 1,
            settings: [("appendfsync".to_owned(), "always".to_owned())].into(),
        };
        NodeState { prepared, complete: true, shut: None }
    }

    #[test]
    fn a_state_outlives_the_agent() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        assert_eq!(NodeState::load(&home).unwrap(), None);
        let node = NODE.parse().unwrap();
        for shut in [None, Some(Shut::Until(Timestamp(7))), Some(Shut::Leaving(node)), Some(Shut::Left(node))] {
            let state = complete().with_shut(shut);
            state.save(&home).unwrap();
            assert_eq!(NodeState::load(&home).unwrap(), Some(state));
        }
        NodeState::forget(&home).unwrap();
        assert_eq!(NodeState::load(&home).unwrap(), None);
        home.write(FILE, "{}").unwrap();
        assert!(NodeState::load(&home).unwrap_err().to_string().contains(FILE));
    }

    #[test]
    fn a_state_that_an_older_agent_wrote_is_read() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        let id = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        let text = format!(
            r#"{{"prepared": {{"engine": "redis", "cluster": "{id}", "instance": "{id}", "ram_mb": 512,
            "volume_gb": 1, "settings": {{"appendfsync": "always"}}}}, "complete": true}}"#
        );
        home.write(FILE, &text).unwrap();
        assert_eq!(NodeState::load(&home).unwrap(), Some(complete()));
    }

    #[test]
    fn only_a_complete_node_that_is_not_shut_is_open() {
        let node = NODE.parse().unwrap();
        assert_eq!(complete().tenants(), Tenants::Open);
        assert_eq!(NodeState { complete: false, ..complete() }.tenants(), Tenants::Closed);
        for shut in [Shut::Until(Timestamp(0)), Shut::Leaving(node), Shut::Left(node)] {
            assert_eq!(complete().with_shut(Some(shut)).tenants(), Tenants::Closed);
        }
    }

    #[test]
    fn a_clock_that_was_set_neither_keeps_a_node_shut_for_longer_nor_opens_one_that_leaves() {
        let (longest, now) = (Duration::from_secs(120), Timestamp(1_000_000));
        let closed = |until| complete().with_shut(Some(Shut::Until(Timestamp(until)))).closed_for(now, longest);
        assert_eq!(closed(1_030_000), Some(Duration::from_secs(30)));
        assert_eq!(closed(999_999), Some(Duration::ZERO));
        assert_eq!(closed(i64::MIN), Some(Duration::ZERO));
        assert_eq!(closed(i64::MAX), Some(longest));
        let leaving = complete().with_shut(Some(Shut::Leaving(NODE.parse().unwrap())));
        assert_eq!((leaving.closed_for(now, longest), complete().closed_for(now, longest)), (None, None));
    }
}
