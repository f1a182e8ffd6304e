//! One broker for a whole test run: every test takes a virtual host of its own from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context as _, Result, bail};

use super::RabbitMq;
use crate::files::{private_dir, private_file};

/// Names the shared broker's directory in the environment of a test run.
pub const SHARED_VARIABLE: &str = "REDTROVE_TEST_RABBITMQ";
/// Virtual hosts for a run that shares a broker; each costs the boot about 12 ms.
const FOR_A_RUN: usize = 128;
/// Virtual hosts for one test process that had to start its own.
const FOR_A_PROCESS: usize = 32;

/// A broker and its unused virtual hosts: one empty file each in `free/`, moved to `taken/` by whoever takes it. Each
/// is used once, so no test sees what another left in a queue.
#[derive(Debug)]
pub struct SharedBroker {
    // Before the directory, so that nobody writes there any more when it is removed.
    rabbitmq: RabbitMq,
    dir: tempfile::TempDir,
}

impl SharedBroker {
    /// Starts a broker for a test run.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        Self::with_vhosts(FOR_A_RUN)
    }

    pub(super) fn with_vhosts(count: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("redtrove-broker.").tempdir().context("no temporary directory")?;
        let vhosts: Vec<String> = (1..=count).map(|n| format!("test-{n}")).collect();
        let rabbitmq = RabbitMq::start(dir.path(), &vhosts)?;
        private_dir(&dir.path().join("free"))?;
        private_dir(&dir.path().join("taken"))?;
        for vhost in &vhosts {
            private_file(&dir.path().join("free").join(vhost), "")?;
        }
        private_file(&dir.path().join("url"), &rabbitmq.broker.url)?;
        Ok(Self { rabbitmq, dir })
    }

    /// The value of [`SHARED_VARIABLE`] for the tests.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the broker.
    ///
    /// # Errors
    /// It does not end.
    pub fn end(&self) -> Result<()> {
        self.rabbitmq.end()
    }
}

/// A virtual host that nobody used before.
#[derive(Debug)]
pub struct TestVhost {
    /// `amqp://user:password@address:port/vhost`.
    pub url: String,
    // Keeps a broker that this process started alive.
    _own: Option<Arc<SharedBroker>>,
}

/// Takes a virtual host: of the run's shared broker if there is one, else of a broker that this process starts and
/// that ends with the last virtual host taken from it.
///
/// # Errors
/// No broker can be started or all virtual hosts are taken.
pub fn test_vhost() -> Result<TestVhost> {
    if let Some(dir) = std::env::var_os(SHARED_VARIABLE) {
        return Ok(TestVhost { url: take(&PathBuf::from(dir))?, _own: None });
    }
    let own = own_broker()?;
    Ok(TestVhost { url: take(own.directory())?, _own: Some(own) })
}

fn own_broker() -> Result<Arc<SharedBroker>> {
    static OWN: Mutex<Weak<SharedBroker>> = Mutex::new(Weak::new());
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(broker) = own.upgrade() {
        return Ok(broker);
    }
    let broker = Arc::new(SharedBroker::with_vhosts(FOR_A_PROCESS)?);
    *own = Arc::downgrade(&broker);
    Ok(broker)
}

pub(super) fn take(dir: &Path) -> Result<String> {
    let url = fs::read_to_string(dir.join("url")).with_context(|| format!("no shared broker in {}", dir.display()))?;
    for entry in fs::read_dir(dir.join("free")).context("no list of virtual hosts")? {
        let name = entry.context("cannot read the list of virtual hosts")?.file_name();
        // A rename has one winner; whoever loses takes the next.
        if fs::rename(dir.join("free").join(&name), dir.join("taken").join(&name)).is_ok() {
            return Ok(format!("{url}/{}", name.to_string_lossy()));
        }
    }
    bail!("all virtual hosts of the shared broker are taken")
}
