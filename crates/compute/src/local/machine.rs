//! What is written into an instance's directory before its agent starts.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redtrove_core::catalogue::Flavor;
use redtrove_core::{ClusterId, InstanceId};
use redtrove_engine::ports::InstanceSpec;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::LocalConfig;
use crate::Credentials;

/// machine.json: what an instance was given. It is in place with the directory, whole, or there is neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MachineFile {
    pub(super) instance: InstanceId,
    pub(super) cluster: ClusterId,
    /// For people.
    pub(super) name: String,
    pub(super) ip: Ipv4Addr,
    pub(super) flavor: Flavor,
    /// A figure that quotas are counted in. Nothing keeps the node from using more; its agent measures what it uses.
    pub(super) volume_gb: u64,
}

const MACHINE_FILE: &str = "machine.json";

impl MachineFile {
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(directory.join(MACHINE_FILE))?)?)
    }
}

/// The agent's configuration, in the words of its own reference.
#[derive(Serialize)]
struct AgentConfig<'a> {
    guestagent: Guestagent,
    tls: Tls,
    engines: std::collections::BTreeMap<&'a str, &'a Path>,
    redis: Redis,
}

#[derive(Serialize)]
struct Guestagent {
    instance_id: InstanceId,
    directory: PathBuf,
    bind_ip: Ipv4Addr,
    port: u16,
}

#[derive(Serialize)]
struct Tls {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Serialize)]
struct Redis {
    supervisor: &'static str,
}

/// Writes all the files of an instance that is to live at `home` into `directory`, which is moved there later.
/// A directory left there by an attempt that was cut short is replaced.
pub(super) fn write(
    directory: &Path,
    home: &Path,
    config: &LocalConfig,
    port: u16,
    machine: &MachineFile,
    credentials: &Credentials,
) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for made in [directory.to_owned(), directory.join("pki"), directory.join("node")] {
        DirBuilder::new().mode(0o700).create(made)?;
    }
    let pki = home.join("pki");
    let agent = AgentConfig {
        guestagent: Guestagent {
            instance_id: machine.instance,
            directory: home.join("node"),
            bind_ip: machine.ip,
            port,
        },
        tls: Tls { ca: pki.join("ca.pem"), cert: pki.join("cert.pem"), key: pki.join("key.pem") },
        engines: config.engines.iter().map(|(engine, path)| (engine.name(), path.as_path())).collect(),
        redis: Redis { supervisor: "process" },
    };
    let agent = toml::to_string(&agent).map_err(io::Error::other)?;
    let machine = serde_json::to_vec_pretty(machine)?;
    let write = |name: &str, content: &[u8]| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(name))?;
        file.write_all(content)
    };
    write("pki/ca.pem", credentials.ca_pem.as_bytes())?;
    write("pki/cert.pem", credentials.cert_pem.as_bytes())?;
    write("pki/key.pem", credentials.key_pem.expose_secret().as_bytes())?;
    write("agent.toml", agent.as_bytes())?;
    write(MACHINE_FILE, &machine)
}

/// What an instance is given at `ip`.
pub(super) fn describe(spec: &InstanceSpec, flavor: &Flavor, ip: Ipv4Addr) -> MachineFile {
    MachineFile {
        instance: spec.id,
        cluster: spec.cluster,
        name: spec.name.clone(),
        ip,
        flavor: flavor.clone(),
        volume_gb: spec.volume_gb,
    }
}
