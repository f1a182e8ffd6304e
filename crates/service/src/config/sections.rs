//! The sections that more than one daemon has.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::strategy::{ApiStrategy, GuestagentStrategy, TaskmanagerStrategy};
use crate::config::values::LogFilter;
use crate::mask::mask_url;
use crate::secrets::{self, SecretError};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON anywhere else.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Default "auto".
    pub format: LogFormat,
    /// Default "info". `lapin=off,sqlx=warn` comes before it and can be overridden by it.
    pub filter: LogFilter,
}

/// `[monitoring]`: the listener for /metrics and /healthz. No section, no listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitoring {
    /// Address and port; port 0 takes a free one, which is logged. Default 127.0.0.1:0.
    pub bind: SocketAddr,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { bind: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }
}

/// `[bus]`: the message broker. No section, no broker: the sweeper alone finds work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// A file that holds `amqp://user:password@host:port/vhost`. Required.
    pub url_file: PathBuf,
}

impl Bus {
    /// The broker's URL, read from its file.
    pub fn url(&self) -> Result<SecretString, SecretError> {
        secrets::read(&self.url_file)
    }
}

/// `[database]`: where clusters, instances and tasks are kept. Exactly one of the two keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "RawDatabase")]
pub struct Database {
    /// The database's URL, `sqlite:///absolute/path` or `mysql://user:password@host:port/name`. Trove's
    /// `[database] connection`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionUrl>,
    /// A file that holds the URL, so that no password stands in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Database")]
struct RawDatabase {
    connection: Option<ConnectionUrl>,
    connection_file: Option<PathBuf>,
}

impl TryFrom<RawDatabase> for Database {
    type Error = &'static str;

    fn try_from(raw: RawDatabase) -> Result<Self, Self::Error> {
        match (&raw.connection, &raw.connection_file) {
            (Some(_), Some(_)) => Err("connection and connection_file exclude each other"),
            (None, None) => Err("one of connection and connection_file is required"),
            _ => Ok(Self { connection: raw.connection, connection_file: raw.connection_file }),
        }
    }
}

impl Database {
    /// The database's URL, read from its file if the configuration names one.
    pub fn url(&self) -> Result<SecretString, SecretError> {
        match (&self.connection, &self.connection_file) {
            (Some(connection), _) => Ok(connection.0.clone()),
            (None, Some(path)) => secrets::read(path),
            // Not reachable through a file; an empty URL is refused where it is opened.
            (None, None) => Ok(SecretString::default()),
        }
    }
}

/// A database URL. Prints without its password.
#[derive(Clone)]
pub struct ConnectionUrl(SecretString);

impl ConnectionUrl {
    /// The URL with `***` in place of a password.
    pub fn masked(&self) -> String {
        mask_url(self.0.expose_secret())
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for ConnectionUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

impl<'de> Deserialize<'de> for ConnectionUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = String::deserialize(deserializer)?;
        if ["sqlite:", "mysql://", "mariadb://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Ok(Self(url.into()));
        }
        // The URL itself stays out of the message: it may hold a password.
        Err(de::Error::custom("not a database URL, expected sqlite:///… or mysql://…"))
    }
}

/// `[redis]`: the blueprint's options of the Redis datastore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Whether clusters may be made; requests for one are answered 501 if not. Default true.
    pub cluster_support: bool,
    /// Default the blueprint's name, `trove.common.strategies.cluster.experimental.redis.api.RedisAPIStrategy`;
    /// short "redis".
    pub api_strategy: ApiStrategy,
    /// Default the blueprint's name (`….redis.taskmanager.RedisTaskManagerStrategy`); short "redis".
    pub taskmanager_strategy: TaskmanagerStrategy,
    /// Default the blueprint's name (`….redis.guestagent.RedisGuestAgentStrategy`); short "redis".
    pub guestagent_strategy: GuestagentStrategy,
    /// Whether instances have volumes; without, a volume in a request is refused. Default true.
    pub volume_support: bool,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            cluster_support: true,
            api_strategy: ApiStrategy::default(),
            taskmanager_strategy: TaskmanagerStrategy::default(),
            guestagent_strategy: GuestagentStrategy::default(),
            volume_support: true,
        }
    }
}
