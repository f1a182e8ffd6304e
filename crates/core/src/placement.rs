//! Where a member's machine is asked to be. A compute provider makes of it what it can; the local one has one place.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cluster::UnknownName;

/// What was asked for a member's machine beside its size; kept with the instance, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// The zone of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// The region of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The network of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<Nic>,
    /// The kind of its volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
}

impl Placement {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A port in a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nic {
    /// The network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Uuid>,
    /// The subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Uuid>,
    /// The address to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
}

/// Where members are to be in relation to each other, as Nova's server groups name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locality {
    /// On one host.
    Affinity,
    /// Each on a host of its own.
    AntiAffinity,
}

impl Locality {
    /// Every locality.
    pub const ALL: [Self; 2] = [Self::Affinity, Self::AntiAffinity];

    /// The name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Affinity => "affinity",
            Self::AntiAffinity => "anti-affinity",
        }
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Locality {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|locality| locality.name() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locality_reads_back_its_name() {
        for locality in Locality::ALL {
            assert_eq!(locality.name().parse::<Locality>(), Ok(locality));
        }
        assert!("near".parse::<Locality>().is_err());
    }

    #[test]
    fn what_was_not_asked_for_is_not_written() {
        assert_eq!(serde_json::to_string(&Placement::default()).unwrap(), "{}");
        let asked = Placement {
            availability_zone: Some("nova".to_owned()),
            nic: Some(Nic { network: Some(Uuid::from_u128(7)), ..Nic::default() }),
            ..Placement::default()
        };
        let text = serde_json::to_string(&asked).unwrap();
        assert!(!text.contains("region") && !text.contains("subnet"), "{text}");
        assert_eq!(serde_json::from_str::<Placement>(&text).unwrap(), asked);
    }
}
