//! Types of settings whose range is checked while the file is read, so that the error knows line and key.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};
use tracing_subscriber::EnvFilter;

/// A TCP port, 1 to 65535. Written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Port(u16);

impl Port {
    /// The port, or nothing if `port` is 0.
    pub const fn new(port: u16) -> Option<Self> {
        if port == 0 { None } else { Some(Self(port)) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        u16::try_from(number)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| de::Error::custom(format_args!("{number} is not a port, expected 1 to 65535")))
    }
}

/// A length of time in whole seconds, as Trove's options have it: 1 to 31536000 (a year).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Seconds(u32);

impl Seconds {
    /// A year; longer is a slip of the pen.
    pub const MOST: u32 = 31_536_000;

    /// `seconds`, or nothing if it is 0 or over a year.
    pub const fn new(seconds: u32) -> Option<Self> {
        if seconds == 0 || seconds > Self::MOST { None } else { Some(Self(seconds)) }
    }

    /// The default of a setting, `seconds` clamped into the range.
    pub const fn clamped(seconds: u32) -> Self {
        if seconds == 0 {
            Self(1)
        } else if seconds > Self::MOST {
            Self(Self::MOST)
        } else {
            Self(seconds)
        }
    }

    /// The number of seconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        u32::try_from(number).ok().and_then(Self::new).ok_or_else(|| {
            de::Error::custom(format_args!("{number} is out of range, expected 1 to {} seconds", Self::MOST))
        })
    }
}

/// A number of things of which there has to be at least one: 1 to 1000000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Count(u32);

impl Count {
    /// The largest number taken.
    pub const MOST: u32 = 1_000_000;

    /// The default of a setting, `count` clamped into the range.
    pub const fn clamped(count: u32) -> Self {
        if count == 0 {
            Self(1)
        } else if count > Self::MOST {
            Self(Self::MOST)
        } else {
            Self(count)
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        u32::try_from(number)
            .ok()
            .filter(|count| (1..=Self::MOST).contains(count))
            .map(Self)
            .ok_or_else(|| de::Error::custom(format_args!("{number} is out of range, expected 1 to {}", Self::MOST)))
    }
}

/// Which log events are written: directives of tracing's `EnvFilter`, such as `info,redtrove_engine=debug`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match EnvFilter::try_new(&text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text)),
            _ => Err(de::Error::custom("not a log filter, expected directives such as \"info,redtrove_engine=debug\"")),
        }
    }
}
