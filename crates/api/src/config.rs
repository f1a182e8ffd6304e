//! `/etc/redtrove/api.toml`. Every key is documented in `deploy/config/redtrove-api.toml`.

mod keystone;
mod network;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use redtrove_service::config::{Bus, Complaint, Count, DaemonConfig, Database, Log, Monitoring, Port, Redis, Seconds};
use serde::{Deserialize, Deserializer, Serialize, de};

pub use self::keystone::Keystone;
pub use self::network::Network;
use crate::layers;
use crate::policy::{Rule, Who};

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where and how requests are taken.
    #[serde(default)]
    pub api: Api,
    /// Who may come in.
    pub auth: Auth,
    /// Who may do what, where it differs from the defaults.
    #[serde(default)]
    pub policy: BTreeMap<Rule, Who>,
    /// Where the truth is.
    pub database: Database,
    /// Who is woken up; absent without a broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<Bus>,
    /// The options of the datastore.
    #[serde(default)]
    pub redis: Redis,
    /// How much a project may have.
    #[serde(default)]
    pub quota: Quota,
    /// When a silent agent counts as gone.
    #[serde(default)]
    pub status: Status,
    /// Log lines.
    #[serde(default)]
    pub log: Log,
    /// Metrics and health; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
}

impl DaemonConfig for Config {
    const DAEMON: &'static str = "api";

    fn log(&self) -> &Log {
        &self.log
    }

    fn check(&self) -> Result<(), Complaint> {
        let (key, there) = match self.auth.strategy {
            AuthStrategy::Static => ("auth.static_tokens_file", self.auth.static_tokens_file.is_some()),
            AuthStrategy::Keystone => ("auth.keystone", self.auth.keystone.is_some()),
        };
        if !there {
            let problem = format!("is required with strategy = \"{}\"", self.auth.strategy);
            return Err(Complaint { key, problem });
        }
        if self.api.agent_call_low_timeout.duration() >= layers::TIME_LIMIT {
            let problem = format!("must be less than {}, when every request is given up", layers::TIME_LIMIT.as_secs());
            return Err(Complaint { key: "api.agent_call_low_timeout", problem });
        }
        Ok(())
    }
}

/// `[api]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// The address to listen on. Default 127.0.0.1.
    pub bind_host: IpAddr,
    /// The port to listen on. Default 8779, as Trove.
    pub bind_port: Port,
    /// The URL under which clients reach this API; links begin with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_endpoint: Option<Endpoint>,
    /// The proxies whose `X-Forwarded-*` headers count. Default none.
    pub trusted_proxies: Vec<Network>,
    /// The most clusters or instances in one answer. Default 20, as Trove.
    pub clusters_page_size: Count,
    /// The longest request body, bytes. Default 262144.
    pub max_body_bytes: Count,
    /// How long an operation on a cluster may take, seconds. Default 36000, as Trove.
    pub cluster_usage_timeout: Seconds,
    /// How long the answer to a shrink waits for what the guests say, seconds, less than 60. Default 15, as Trove.
    pub agent_call_low_timeout: Seconds,
}

impl Api {
    /// Where to listen.
    pub fn bind(&self) -> SocketAddr {
        SocketAddr::new(self.bind_host, self.bind_port.get())
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            bind_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            bind_port: DEFAULT_PORT,
            public_endpoint: None,
            trusted_proxies: Vec::new(),
            clusters_page_size: Count::clamped(20),
            max_body_bytes: Count::clamped(262_144),
            cluster_usage_timeout: Seconds::clamped(36_000),
            agent_call_low_timeout: Seconds::clamped(15),
        }
    }
}

const DEFAULT_PORT: Port = match Port::new(8779) {
    Some(port) => port,
    None => unreachable!(),
};

/// A base URL, `http://` or `https://`, kept without the slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Endpoint(String);

impl Endpoint {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url = text.trim_end_matches('/');
        let fits = url.parse::<axum::http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
        });
        if fits {
            Ok(Self(url.to_owned()))
        } else {
            Err(de::Error::custom(format_args!("'{text}' is not a base URL, expected http://… or https://…")))
        }
    }
}

/// How callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthStrategy {
    /// Tokens from a file: for demonstrations and tests.
    #[default]
    Static,
    /// Tokens of OpenStack's identity service.
    Keystone,
}

impl fmt::Display for AuthStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::Keystone => "keystone",
        })
    }
}

/// `[auth]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Default "static".
    #[serde(default)]
    pub strategy: AuthStrategy,
    /// The file with the tokens, for "static".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub static_tokens_file: Option<PathBuf>,
    /// Where clients without a token are sent (`WWW-Authenticate`); absent for the `auth_url` of Keystone, and without
    /// one for this API itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub www_authenticate_uri: Option<Endpoint>,
    /// For "keystone".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keystone: Option<Keystone>,
}

impl Auth {
    /// Where clients without a token are sent, if the file says it.
    pub fn sends_to(&self) -> Option<&Endpoint> {
        let keystone = self.keystone.as_ref().filter(|_| self.strategy == AuthStrategy::Keystone);
        self.www_authenticate_uri.as_ref().or_else(|| keystone.map(|keystone| &keystone.auth_url))
    }
}

/// `[quota]`, with Trove's names and defaults; a negative number is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Instances of a project. Default 10.
    pub max_instances_per_tenant: i64,
    /// The sum of a project's volumes, GB. Default 40.
    pub max_volumes_per_tenant: i64,
    /// The largest volume, GB. Default 10.
    pub max_accepted_volume_size: i64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { max_instances_per_tenant: 10, max_volumes_per_tenant: 40, max_accepted_volume_size: 10 }
    }
}

/// `[status]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    /// A member whose agent has been silent longer is shown as ERROR, seconds. Default 90, as Trove.
    pub agent_heartbeat_expiry: Seconds,
}

impl Default for Status {
    fn default() -> Self {
        Self { agent_heartbeat_expiry: Seconds::clamped(90) }
    }
}

#[cfg(test)]
mod tests;
