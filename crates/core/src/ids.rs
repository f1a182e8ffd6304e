//! Ids, each a type of its own so that one cannot stand in for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {kind}")]
pub struct InvalidId {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What was wanted, with its article: "a cluster id".
    pub kind: &'static str,
}

impl InvalidId {
    fn new(text: &str, kind: &'static str) -> Self {
        Self { text: text.chars().take(64).collect(), kind }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Takes the hyphenated form only: 8-4-4-4-12 hexadecimal digits.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId::new(text, $kind));
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::new(text, $kind))
            }
        }
    };
}

uuid_id!(
    /// A cluster, as tenants see it. Random (version 4): not to be guessed.
    ClusterId, "a cluster id"
);
uuid_id!(
    /// An instance: a member of a cluster, and the machine it lives on.
    InstanceId, "an instance id"
);
uuid_id!(
    /// A task. Version 7, so that tasks sort by the time they were asked for.
    TaskId, "a task id"
);
uuid_id!(
    /// A datastore, such as "redis".
    DatastoreId, "a datastore id"
);
uuid_id!(
    /// A version of a datastore, such as "7.0".
    DatastoreVersionId, "a datastore version id"
);

/// The OpenStack project (tenant) that owns a cluster: 1 to 64 letters, digits, `-` or `_`.
///
/// Keystone's own ids are 32 hexadecimal digits; others appear where projects come from a foreign directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectId(String);

impl ProjectId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidId::new(text, "a project id")) }
    }
}

impl TryFrom<String> for ProjectId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ProjectId> for String {
    fn from(id: ProjectId) -> Self {
        id.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one REST request, `req-<uuid>` as OpenStack writes it, carried into every log line and call it causes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// The id of a new request.
    pub fn new(id: Uuid) -> Self {
        Self(format!("req-{}", id.hyphenated()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidId;

    /// Takes `req-` and a hyphenated uuid.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let uuid = text.strip_prefix("req-").filter(|rest| rest.len() == 36);
        match uuid.map(Uuid::try_parse) {
            Some(Ok(uuid)) => Ok(Self::new(uuid)),
            _ => Err(InvalidId::new(text, "a request id")),
        }
    }
}

impl TryFrom<String> for RequestId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a Redis Cluster node: 40 lower-case hexadecimal digits, made by redis-server at its first start
/// and kept in its nodes.conf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId([u8; 40]);

impl NodeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        // The digits were checked when the id was parsed, so the fallback is never taken.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits: [u8; 40] = text.as_bytes().try_into().map_err(|_| InvalidId::new(text, "a node id"))?;
        let hexadecimal = digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
        if hexadecimal { Ok(Self(digits)) } else { Err(InvalidId::new(text, "a node id")) }
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let text = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        assert_eq!(text.parse::<ClusterId>().unwrap().to_string(), text);
        assert_eq!(format!("req-{text}").parse::<RequestId>().unwrap().as_str(), format!("req-{text}"));
        let node = "07c37dfeb235213a872192d90877d0cd55635b91";
        assert_eq!(node.parse::<NodeId>().unwrap().to_string(), node);
    }

    #[test]
    fn what_is_no_id_is_refused_by_name() {
        for text in ["", "416b0b16ba554302bbd3ff566032e1c1", "{416b0b16-ba55-4302-bbd3-ff566032e1c1}", "é"] {
            assert!(text.parse::<InstanceId>().is_err(), "{text:?}");
        }
        for text in ["", "07C37DFEB235213A872192D90877D0CD55635B91", "g7c37dfeb235213a872192d90877d0cd55635b91", "é"] {
            assert!(text.parse::<NodeId>().is_err(), "{text:?}");
        }
        for text in ["", "a/b", "a b", "..", &"x".repeat(65)] {
            assert!(text.parse::<ProjectId>().is_err(), "{text:?}");
        }
        let error = "x".repeat(1000).parse::<ClusterId>().unwrap_err();
        assert!(error.to_string().len() < 100, "{error}");
    }
}
