//! `INFO` and `CLUSTER INFO`: lines of `name:value` under `# Section` headings.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The server software on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

/// A text that names no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an engine; known are: redis, valkey")]
pub struct UnknownEngine(pub String);

impl Engine {
    /// The name in configuration, gRPC and database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    /// The oldest version that redtrove drives: `CLUSTER ADDSLOTSRANGE` and ACL subcommand rules came with Redis 7.0.
    pub fn oldest(self) -> Version {
        match self {
            Self::Redis => Version { major: 7, minor: 0, patch: 0 },
            Self::Valkey => Version { major: 7, minor: 2, patch: 0 },
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        match text {
            "redis" => Ok(Self::Redis),
            "valkey" => Ok(Self::Valkey),
            other => Err(UnknownEngine(other.chars().take(64).collect())),
        }
    }
}

/// A version of a server: `7.0.15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number; 0 if absent.
    pub patch: u32,
}

impl FromStr for Version {
    type Err = InvalidInfo;

    /// Takes `7.0`, `7.0.15` and `8.0.0-rc1`; what follows the third number is dropped.
    fn from_str(text: &str) -> Result<Self, InvalidInfo> {
        let refuse = || InvalidInfo::Version(text.chars().take(64).collect());
        let mut parts = text.split('.');
        let mut number = |required: bool| match parts.next() {
            Some(part) => {
                let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                digits.parse().map_err(|_| refuse())
            }
            None if required => Err(refuse()),
            None => Ok(0),
        };
        Ok(Self { major: number(true)?, minor: number(true)?, patch: number(false)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// An `INFO` reply that lacks what every server writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInfo {
    /// A field is absent.
    #[error("INFO: no field '{0}'")]
    Missing(&'static str),
    /// A field is not the number it should be.
    #[error("INFO: '{1}' in field '{0}' is not a number")]
    Number(&'static str, String),
    /// A version that does not begin with two numbers.
    #[error("INFO: '{0}' is not a version")]
    Version(String),
}

/// The fields of one `INFO` or `CLUSTER INFO` reply.
#[derive(Debug, Clone, Default)]
pub struct Info(HashMap<String, String>);

impl Info {
    /// Reads a reply. Lines that are no fields are passed over, as new sections and fields come with every release.
    pub fn parse(reply: &str) -> Self {
        let fields = reply.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect())
    }

    /// The text of a field.
    pub fn text(&self, field: &'static str) -> Result<&str, InvalidInfo> {
        self.0.get(field).map(String::as_str).ok_or(InvalidInfo::Missing(field))
    }

    /// A field that is a whole number.
    pub fn number(&self, field: &'static str) -> Result<u64, InvalidInfo> {
        let text = self.text(field)?;
        text.parse().map_err(|_| InvalidInfo::Number(field, text.chars().take(64).collect()))
    }

    /// The server and its version. Valkey keeps `redis_version` at 7.2.4 for old clients and adds its own.
    pub fn engine(&self) -> Result<(Engine, Version), InvalidInfo> {
        match self.text("valkey_version") {
            Ok(version) => Ok((Engine::Valkey, version.parse()?)),
            Err(_) => Ok((Engine::Redis, self.text("redis_version")?.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    const REPLY: &str = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:3\r\n\r\n# Memory\r\nused_memory:1234\r\nrole:master\r\nconfig_file:/a:b\r\n";

    #[test]
    fn fields_are_read_by_name() {
        let info = Info::parse(REPLY);
        assert_eq!(info.number("used_memory"), Ok(1234));
        assert_eq!(info.text("config_file"), Ok("/a:b"));
        assert_eq!(info.number("role"), Err(InvalidInfo::Number("role", "master".into())));
        assert_eq!(info.text("loading"), Err(InvalidInfo::Missing("loading")));
        assert_eq!(info.engine(), Ok((Engine::Redis, Version { major: 7, minor: 0, patch: 15 })));
    }

    #[test]
    fn valkey_is_told_from_redis() {
        let info = Info::parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0-rc1\r\n");
        let (engine, version) = info.engine().unwrap();
        assert_eq!((engine, version.to_string().as_str()), (Engine::Valkey, "8.1.0"));
        assert!(version >= engine.oldest());
        assert!("6.2.14".parse::<Version>().unwrap() < Engine::Redis.oldest());
        assert!("seven".parse::<Version>().is_err() && "7".parse::<Version>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,200}") {
            let _ = Info::parse(&text).engine();
            let _ = text.parse::<Version>();
        }
    }
}
