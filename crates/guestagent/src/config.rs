//! guestagent.toml.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use redtrove_core::InstanceId;
use redtrove_core::topology::Engine;
use redtrove_guest_rpc::DEFAULT_PORT;
use redtrove_service::DaemonConfig;
use redtrove_service::config::{Complaint, Log};
use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::redis_server::Supervisor;

/// How long a caller may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The agent's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    pub guestagent: Guestagent,
    /// Certificates.
    pub tls: Tls,
    /// The servers that can be run here: name to absolute path. Nothing else is ever run.
    #[serde(default = "default_engines")]
    pub engines: BTreeMap<Engine, PathBuf>,
    /// How redis-server is run.
    #[serde(default)]
    pub redis: Redis,
    /// What is logged.
    #[serde(default)]
    pub log: Log,
}

/// `[guestagent]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guestagent {
    /// The id of the instance that this agent belongs to; the name in its certificate. Required.
    pub instance_id: InstanceId,
    /// Where the agent and redis-server keep everything. Absolute. Default /var/lib/redtrove.
    #[serde(default = "default_directory")]
    pub directory: PathBuf,
    /// The address that the agent and redis-server listen on and that redis-server announces. Required.
    pub bind_ip: IpAddr,
    /// The agent's port. Default 8780.
    #[serde(default = "default_port")]
    pub port: u16,
}

/// `[tls]`: PEM files. There is no way to serve without them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The CA that callers' certificates come from. Required.
    pub ca: PathBuf,
    /// The agent's own certificate, with the instance id as its name. Required.
    pub cert: PathBuf,
    /// Its private key. Required.
    pub key: PathBuf,
}

/// Who starts redis-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SupervisorName {
    /// The agent, in a session of its own.
    #[default]
    Process,
    /// systemd.
    Systemd,
}

/// `[redis]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// "process" (default) or "systemd".
    pub supervisor: SupervisorName,
    /// The unit to start where the supervisor is systemd. Default redtrove-redis.service.
    pub unit: String,
}

impl Default for Redis {
    fn default() -> Self {
        Self { supervisor: SupervisorName::default(), unit: "redtrove-redis.service".to_owned() }
    }
}

fn default_directory() -> PathBuf {
    PathBuf::from("/var/lib/redtrove")
}

fn default_port() -> u16 {
    DEFAULT_PORT
}

fn default_engines() -> BTreeMap<Engine, PathBuf> {
    [(Engine::Redis, PathBuf::from("/usr/bin/redis-server"))].into()
}

impl DaemonConfig for Config {
    const DAEMON: &'static str = "guestagent";
    // One node's calls are few, and the machine's processors are its redis-server's.
    const WORKERS: Option<usize> = Some(1);

    fn log(&self) -> &Log {
        &self.log
    }

    fn check(&self) -> Result<(), Complaint> {
        let complain = |key, problem: &str| Err(Complaint { key, problem: problem.to_owned() });
        if self.guestagent.instance_id.0.is_nil() {
            return complain("guestagent.instance_id", "is the nil id");
        }
        if !is_plain_absolute(&self.guestagent.directory) {
            return complain("guestagent.directory", "is not an absolute path in UTF-8 without control characters");
        }
        if self.guestagent.bind_ip.is_unspecified() || self.guestagent.bind_ip.is_multicast() {
            return complain("guestagent.bind_ip", "is not the address of one machine, and other nodes need one");
        }
        if self.guestagent.port == 0 {
            return complain("guestagent.port", "is 0, and callers need to know the port");
        }
        if self.engines.is_empty() {
            return complain("engines", "names no server, so none could be run");
        }
        if !self.engines.values().all(|binary| is_plain_absolute(binary)) {
            return complain("engines", "names a server whose path is not absolute");
        }
        let unit = &self.redis.unit;
        if unit.is_empty() || unit.starts_with('-') || unit.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return complain("redis.unit", "is not the name of a unit");
        }
        Ok(())
    }
}

fn is_plain_absolute(path: &Path) -> bool {
    path.is_absolute() && path.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

impl Redis {
    /// Who starts redis-server.
    pub fn supervisor(&self) -> Supervisor {
        match self.supervisor {
            SupervisorName::Process => Supervisor::Process,
            SupervisorName::Systemd => {
                Supervisor::Systemd { unit: self.unit.clone(), systemctl: "systemctl".to_owned() }
            }
        }
    }
}

impl Tls {
    /// Reads the files. Callers must show a certificate of the CA.
    pub fn load(&self) -> anyhow::Result<ServerTlsConfig> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let identity = Identity::from_pem(read(&self.cert)?, read(&self.key)?);
        let authority = Certificate::from_pem(read(&self.ca)?);
        // Otherwise a stranger's silent connections stay, until no more can be opened.
        Ok(ServerTlsConfig::new().identity(identity).client_ca_root(authority).timeout(HANDSHAKE_TIMEOUT))
    }
}

#[cfg(test)]
mod tests {
    use redtrove_service::config::sample::compare;
    use redtrove_service::config::{load_checked, parse};

    use super::*;

    const GOOD: &str = r#"
        [guestagent]
        instance_id = "416b0b16-ba55-4302-bbd3-ff566032e1c1"
        bind_ip = "127.20.0.2"
        [tls]
        ca = "/pki/ca.pem"
        cert = "/pki/cert.pem"
        key = "/pki/key.pem"
    "#;

    #[test]
    fn the_sample_is_what_the_code_reads() {
        let sample = include_str!("../../../deploy/config/redtrove-guestagent.toml");
        // A machine of its own has systemd; the default is for agents that share one.
        let problem = "the sample shows \"systemd\" for 'redis.supervisor', the code's default is \"process\"";
        assert_eq!(compare::<Config>(sample), [problem]);
        parse::<Config>(Path::new("sample"), sample).unwrap().check().unwrap();
    }

    #[test]
    fn the_defaults() {
        let config: Config = parse(Path::new("x"), GOOD).unwrap();
        assert_eq!(config.guestagent.port, 8780);
        assert_eq!(config.guestagent.directory, Path::new("/var/lib/redtrove"));
        assert_eq!(config.engines[&Engine::Redis], Path::new("/usr/bin/redis-server"));
        assert_eq!(config.redis.supervisor(), Supervisor::Process);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_key() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("guestagent.toml");
        let ip = "bind_ip = \"127.20.0.2\"";
        for (from, to, key) in [
            ("416b0b16-ba55-4302-bbd3-ff566032e1c1", "00000000-0000-0000-0000-000000000000", "guestagent.instance_id"),
            ("416b0b16-ba55-4302-bbd3-ff566032e1c1", "x", "guestagent.instance_id"),
            (ip, "bind_ip = \"0.0.0.0\"", "guestagent.bind_ip"),
            (ip, "bind_ip = \"localhost\"", "guestagent.bind_ip"),
            (ip, "bind_ip = \"127.20.0.2\"\nport = 0", "guestagent.port"),
            (ip, "bind_ip = \"127.20.0.2\"\nport = 65536", "guestagent.port"),
            (ip, "bind_ip = \"127.20.0.2\"\ndirectory = \"here\"", "guestagent.directory"),
            (ip, "bind_ip = \"127.20.0.2\"\nbroker = \"x\"", "broker"),
            ("[tls]", "[engines]\n[tls]", "engines"),
            ("[tls]", "[engines]\nredis = \"redis-server\"\n[tls]", "engines"),
            ("[tls]", "[engines]\nmongo = \"/bin/mongo\"\n[tls]", "engines"),
            ("[tls]", "[redis]\nunit = \"--force\"\n[tls]", "redis.unit"),
        ] {
            fs::write(&file, GOOD.replace(from, to)).unwrap();
            let error = load_checked::<Config>(&file).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("line "), "{to}: {error}");
        }
    }
}
