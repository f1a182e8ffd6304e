//! A provider in a directory of its own, and ways to look at and damage it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, InstanceId};
use redtrove_engine::ports::{InstanceSpec, Machine};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Credentials, IssueError, Issuer, Local, LocalConfig};

/// Issues texts.
pub(super) struct FakeIssuer;

impl Issuer for FakeIssuer {
    fn issue(&self, id: InstanceId) -> Result<Credentials, IssueError> {
        Ok(Credentials { ca_pem: "ca".to_owned(), cert_pem: format!("cert {id}"), key_pem: "canary".into() })
    }
}

pub(super) struct World {
    dir: TempDir,
    pub(super) block: u8,
}

impl World {
    /// Each test has its own /24, so that tests do not see each other's servers.
    pub(super) fn new(block: u8) -> Self {
        Self { dir: TempDir::new().unwrap(), block }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("instances")
    }

    pub(super) fn home(&self, id: InstanceId) -> PathBuf {
        self.root().join(id.to_string())
    }

    pub(super) fn open(&self, supervise: bool) -> Local {
        let text = format!(
            "directory = {:?}\naddress_block = \"127.248.{}.0/24\"\nguestagent = {:?}\nsupervise = {supervise}\n\
             [engines]\nredis = \"/usr/bin/redis-server\"\n[[flavors]]\nid = \"1\"\nname = \"small\"\nram = 512\nvcpus = 1",
            self.root(),
            self.block,
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/local/tests/fake-agent.sh"),
        );
        let config: LocalConfig = toml::from_str(&text).unwrap();
        Local::open(config, 8780, Arc::new(FakeIssuer)).unwrap()
    }

    /// Everything below the root, so that a leftover has a name.
    pub(super) fn everything(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                into.push(path.strip_prefix(root).unwrap().display().to_string());
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, root, into);
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.root(), &self.root(), &mut all);
        all.sort();
        all
    }

    pub(super) fn assert_empty(&self) {
        assert_eq!(self.everything(), [".address", ".gone", ".lock", ".new"]);
    }
}

pub(super) fn spec(n: u128) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId(Uuid::from_u128(n)),
        cluster: ClusterId(Uuid::from_u128(1)),
        name: "mine-member-1".to_owned(),
        flavor_id: "1".to_owned(),
        volume_gb: 2,
        engine: Engine::Redis,
    }
}

pub(super) fn ip(machine: Machine) -> String {
    match machine {
        Machine::Ready { ip } => ip,
        Machine::Building => panic!("the local provider never builds for long"),
    }
}

/// Waits for a condition with a reason and a deadline.
pub(super) async fn wait_for<T>(reason: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {reason}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn pids_in(file: &Path) -> Vec<i32> {
    fs::read_to_string(file).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
}

pub(super) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// The agent's number, once it has the lock and its server runs.
pub(super) async fn agent_of(home: &Path) -> i32 {
    wait_for("the agent to start its server", || pids_in(&home.join("node/server")).pop()).await;
    pids_in(&home.join("node/starts")).pop().unwrap()
}

pub(super) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Leaves on disk what a taskmanager that was killed at some point of a making leaves.
pub(super) fn cut_short(world: &World, id: InstanceId, point: &str) {
    let root = world.root();
    let address = || symlink(id.to_string(), root.join(format!(".address/127.248.{}.77", world.block))).unwrap();
    let lock = || fs::write(root.join(format!(".lock/{id}")), "").unwrap();
    match point {
        "locked" => lock(),
        "claimed" => {
            lock();
            address();
        }
        "directory begun" => {
            lock();
            address();
            fs::create_dir_all(root.join(format!(".new/{id}/pki"))).unwrap();
            fs::write(root.join(format!(".new/{id}/pki/ca.pem")), "half").unwrap();
        }
        other => panic!("{other}"),
    }
}
