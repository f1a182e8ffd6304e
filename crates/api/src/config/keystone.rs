//! `[auth.keystone]`: where tokens are checked, and as whom this daemon asks.

use std::path::PathBuf;

use redtrove_service::config::Seconds;
use serde::{Deserialize, Serialize};

use super::Endpoint;

/// `[auth.keystone]`, for strategy "keystone".
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keystone {
    /// Keystone's URL, with or without `/v3` at its end.
    pub auth_url: Endpoint,
    /// This service's own user. Its role in the project must let it check other people's tokens.
    pub username: String,
    /// The file with that user's password; read again at each login.
    pub password_file: PathBuf,
    /// The project that the user logs in to, "service" by custom.
    pub project_name: String,
    /// The domain of the user. Default "Default".
    #[serde(default = "default_domain")]
    pub user_domain_name: String,
    /// The domain of the project. Default "Default".
    #[serde(default = "default_domain")]
    pub project_domain_name: String,
    /// The authorities that Keystone's certificate may come from, PEM; absent for the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long a checked token is taken at its word, seconds: also how long a revoked one may still work. Default 60.
    #[serde(default = "default_cache")]
    pub cache_seconds: Seconds,
    /// How long Keystone's no to a token, and to our own login, is remembered, seconds. Default 5.
    #[serde(default = "default_negative_cache")]
    pub negative_cache_seconds: Seconds,
    /// How long one check may take, logging in included, before the answer is 503, seconds. Default 10.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: Seconds,
}

fn default_domain() -> String {
    "Default".to_owned()
}

const fn default_cache() -> Seconds {
    Seconds::clamped(60)
}

const fn default_negative_cache() -> Seconds {
    Seconds::clamped(5)
}

const fn default_timeout() -> Seconds {
    Seconds::clamped(10)
}
