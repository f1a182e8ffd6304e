//! Hosts made of network namespaces on a bridge, and a provider that puts one guest on each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use async_trait::async_trait;
use redtrove_core::InstanceId;
use redtrove_core::catalogue::Flavor;
use redtrove_engine::Clock as _;
use redtrove_engine::ports::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};
use redtrove_taskmanager::SystemClock;
use redtrove_taskmanager::pki::Authority;
use redtrove_testkit::Launch;
use redtrove_testkit::install::find_program;
use redtrove_testkit::process::table::STACK_DIR_VARIABLE;
use redtrove_testkit::stack::Binaries;
use secrecy::ExposeSecret as _;

/// Removes namespaces and bridge as soon as its standard input ends: when it is told to, and also when the test that
/// holds the other end dies in whatever way. Arguments: the bridge, then the namespaces.
const CLEANER: &str = "cat; bridge=$1; shift; \
    for ns; do ip netns pids $ns | xargs -r kill -9; ip netns del $ns; done; ip link del $bridge";

/// Three hosts, each a namespace with an interface on one bridge, whose other end is this test.
pub(super) struct Hosts {
    prefix: String,
    net: String,
    cleaner: Child,
}

impl Hosts {
    /// How many.
    pub(super) const COUNT: usize = 3;

    /// Makes them. What this process may not do is the error.
    pub(super) fn make() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces take root".to_owned());
        }
        let pid = std::process::id();
        let (prefix, net) = (format!("rt{}", pid % 100_000), format!("10.{}.{}", 128 + pid / 250 % 100, pid % 250));
        let names: Vec<String> = (1..=Self::COUNT).map(|n| format!("{prefix}-{n}")).collect();
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", CLEANER, "cleaner"]).arg(format!("{prefix}b")).args(names);
        let cleaner = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let hosts = Self { prefix, net, cleaner: cleaner.map_err(|error| error.to_string())? };
        hosts.connect()?;
        Ok(hosts)
    }

    fn connect(&self) -> Result<(), String> {
        let (bridge, net) = (format!("{}b", self.prefix), &self.net);
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("address add {net}.1/24 dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        for n in 0..Self::COUNT {
            let (namespace, cable, address) = (self.namespace(n), self.cable(n), self.address(n));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {cable} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {cable} master {bridge} up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} address add {address}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
        }
        Ok(())
    }

    pub(super) fn namespace(&self, n: usize) -> String {
        format!("{}-{}", self.prefix, n + 1)
    }

    pub(super) fn address(&self, n: usize) -> String {
        format!("{}.{}", self.net, 11 + n)
    }

    fn cable(&self, n: usize) -> String {
        format!("{}v{n}", self.prefix)
    }

    /// Pulls a host's cable, or plugs it in again.
    pub(super) fn set_cable(&self, n: usize, state: &str) {
        ip(&format!("link set {} {state}", self.cable(n))).unwrap();
    }

    /// Removes everything; a host that is left is an error.
    pub(super) fn remove(mut self) {
        self.clean();
        let left = Command::new("ip").args(["netns", "list"]).output().unwrap().stdout;
        assert!(!String::from_utf8_lossy(&left).contains(&self.prefix), "a namespace is left");
        assert!(ip(&format!("link show {}b", self.prefix)).is_err(), "the bridge is left");
    }

    fn clean(&mut self) {
        drop(self.cleaner.stdin.take());
        // Twice is fine, and there is nobody to tell.
        let _ = self.cleaner.wait();
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.clean();
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {words}: {said}")) }
}

/// Puts one guest on each host: its directory, its certificate, its agent.
pub(super) struct OneOnEach {
    pub(super) dir: PathBuf,
    pub(super) authority: Authority,
    /// Namespace and address of the hosts that are free.
    pub(super) free: Mutex<Vec<(String, String)>>,
    pub(super) placed: Mutex<BTreeMap<InstanceId, String>>,
}

impl OneOnEach {
    fn start(&self, id: InstanceId, namespace: &str, address: &str) -> io::Result<()> {
        let dir = self.dir.join(id.to_string());
        fs::create_dir_all(dir.join("node"))?;
        let issued = self.authority.issue_guest(id, SystemClock.now()).map_err(io::Error::other)?;
        fs::write(dir.join("ca.pem"), self.authority.ca_pem())?;
        fs::write(dir.join("cert.pem"), issued.cert_pem)?;
        fs::write(dir.join("key.pem"), issued.key_pem.expose_secret())?;
        fs::write(dir.join("agent.toml"), agent_config(&dir, id, address))?;
        let binaries = Binaries::beside_test().map_err(io::Error::other)?;
        let ip = find_program("ip").ok_or_else(|| io::Error::other("no ip here"))?;
        let words =
            ["netns", "exec", namespace, &binaries.guestagent.display().to_string(), "--config"].map(str::to_owned);
        let mut launch = Launch::new(ip, dir.join("agent.log"), &dir);
        launch.args.extend(words);
        launch = launch.arg(dir.join("agent.toml").display().to_string());
        launch = launch.env(STACK_DIR_VARIABLE, self.dir.display().to_string());
        launch.spawn().map_err(io::Error::other)?;
        Ok(())
    }
}

fn agent_config(dir: &Path, id: InstanceId, address: &str) -> String {
    let dir = dir.display();
    format!(
        "[guestagent]\ninstance_id = \"{id}\"\ndirectory = \"{dir}/node\"\nbind_ip = \"{address}\"\n\
         [tls]\nca = \"{dir}/ca.pem\"\ncert = \"{dir}/cert.pem\"\nkey = \"{dir}/key.pem\"\n[log]\nformat = \"json\"\n"
    )
}

#[async_trait]
impl Compute for OneOnEach {
    async fn ensure(&self, spec: &InstanceSpec) -> Result<Machine, ComputeError> {
        let mut placed = self.placed.lock().unwrap();
        if let Some(ip) = placed.get(&spec.id) {
            return Ok(Machine::Ready { ip: ip.clone() });
        }
        let host = self.free.lock().unwrap().pop();
        let (namespace, address) = host.ok_or_else(|| ComputeError::Transient("no host is free".to_owned()))?;
        self.start(spec.id, &namespace, &address).map_err(|error| ComputeError::Transient(error.to_string()))?;
        placed.insert(spec.id, address.clone());
        Ok(Machine::Ready { ip: address })
    }

    /// Hosts go together, when the story ends.
    async fn destroy(&self, _: InstanceId, _: Keep) -> Result<Destroyed, ComputeError> {
        Ok(Destroyed::Going)
    }

    async fn list(&self) -> Result<Vec<InstanceId>, ComputeError> {
        Ok(self.placed.lock().unwrap().keys().copied().collect())
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, ComputeError> {
        Ok(Vec::new())
    }
}
