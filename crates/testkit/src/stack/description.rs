//! What a client of a stack needs to know: one JSON object, one line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::http::Client;
use crate::keystone::Credentials;

/// The line that `cargo xtask up --json` prints and that stays in `stack.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Base URL of the API; clusters are at `<api>/v1.0/<project_id>/clusters`.
    pub api: String,
    /// Base URLs of all APIs, the first one included.
    #[serde(default)]
    pub apis: Vec<String>,
    /// A member's token, for `X-Auth-Token`.
    pub token: String,
    /// The member's project.
    pub project_id: String,
    /// What the member logs in to Keystone with; null with static tokens.
    #[serde(default)]
    pub keystone: Option<Credentials>,
    /// The broker with its virtual host; null without one.
    pub amqp: Option<String>,
    /// The database's URL.
    pub db: String,
    /// The stack's directory.
    pub dir: PathBuf,
    /// Process ids by daemon.
    pub pids: BTreeMap<String, i32>,
    /// Addresses of the metrics by daemon.
    pub metrics: BTreeMap<String, String>,
    /// What a reader of guests presents over gRPC.
    pub grpc: Grpc,
    /// A command that prints the guests, one JSON object a line.
    pub guests: String,
}

/// Files for mTLS with guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grpc {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// A certificate with the role `reader`.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Description {
    /// Reads the description of the stack in `dir`.
    ///
    /// # Errors
    /// No stack is up there.
    pub fn read(dir: &Path) -> Result<Self> {
        let layout = Layout::open(dir)?;
        let text =
            std::fs::read(layout.description()).with_context(|| format!("no stack is up in {}", dir.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", layout.description().display()))
    }

    /// A client of the member's project.
    pub fn client(&self) -> Client {
        self.client_with(&self.token, &self.project_id)
    }

    /// A client of the member's project for each API, in their order.
    pub fn clients(&self) -> Vec<Client> {
        let client = |api: &String| Client::new(format!("{api}/v1.0/{}", self.project_id), &self.token);
        self.apis.iter().map(client).collect()
    }

    /// A client of another project.
    pub fn client_with(&self, token: &str, project_id: &str) -> Client {
        Client::new(format!("{}/v1.0/{project_id}", self.api), token)
    }
}
