//! The blueprint's three strategy options.
//!
//! Trove loads the Python class an option names. Here a name chooses among what is built in; the blueprint's
//! dotted names are taken so that an existing configuration keeps its values.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! strategy {
    ($(#[$doc:meta])* $name:ident, $dotted:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $name {
            /// A Redis Cluster: masters that share the 16384 hash slots.
            #[default]
            Redis,
        }

        impl $name {
            /// Every name that is taken, with what it means.
            const KNOWN: [(&'static str, Self); 2] = [($dotted, Self::Redis), ("redis", Self::Redis)];
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::Redis => serializer.serialize_str($dotted),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                if let Some((_, strategy)) = Self::KNOWN.iter().find(|(known, _)| *known == name) {
                    return Ok(*strategy);
                }
                let known = Self::KNOWN.map(|(known, _)| known).join("' and '");
                Err(de::Error::custom(format_args!("unknown strategy '{name}', the known ones are '{known}'")))
            }
        }
    };
}

strategy!(
    /// How the API handles clusters.
    ApiStrategy, "trove.common.strategies.cluster.experimental.redis.api.RedisAPIStrategy"
);
strategy!(
    /// How the taskmanager builds and changes clusters.
    TaskmanagerStrategy, "trove.common.strategies.cluster.experimental.redis.taskmanager.RedisTaskManagerStrategy"
);
strategy!(
    /// How the guest agent serves the taskmanager.
    GuestagentStrategy, "trove.common.strategies.cluster.experimental.redis.guestagent.RedisGuestAgentStrategy"
);
