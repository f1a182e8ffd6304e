//! One Keystone for a whole test run: every stack has projects, users and a region of its own in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context as _, Result};

use super::{Access, Keystone};
use crate::files::private_file;

/// Names the shared Keystone's directory in the environment of a test run.
pub const SHARED_VARIABLE: &str = "REDTROVE_TEST_KEYSTONE";
/// Longer than a test run takes.
const TOKEN_SECONDS: u32 = 86_400;

/// A Keystone and the directory that it lives in.
#[derive(Debug)]
pub struct SharedKeystone {
    // Before the directory, so that nobody writes there any more when it is removed.
    keystone: Keystone,
    dir: tempfile::TempDir,
}

impl SharedKeystone {
    /// Starts one.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("redtrove-keystone.").tempdir().context("no temporary directory")?;
        let keystone = Keystone::start(dir.path(), TOKEN_SECONDS)?;
        let access = serde_json::to_string(keystone.access()).context("cannot write how to get in")?;
        private_file(&dir.path().join("access.json"), &access)?;
        Ok(Self { keystone, dir })
    }

    /// The value of [`SHARED_VARIABLE`] for the tests.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Ends it.
    ///
    /// # Errors
    /// It does not end.
    pub fn end(&self) -> Result<()> {
        self.keystone.end()
    }
}

/// A Keystone that others use, too.
#[derive(Debug)]
pub struct TestKeystone {
    /// How to get in.
    pub access: Access,
    // Keeps one that this process started alive.
    _own: Option<Arc<SharedKeystone>>,
}

/// The run's shared Keystone if there is one, else one that this process starts and that ends with its last user.
///
/// # Errors
/// None can be started.
pub fn test_keystone() -> Result<TestKeystone> {
    if let Some(dir) = std::env::var_os(SHARED_VARIABLE) {
        return Ok(TestKeystone { access: read(&PathBuf::from(dir))?, _own: None });
    }
    let own = own_keystone()?;
    Ok(TestKeystone { access: read(own.directory())?, _own: Some(own) })
}

fn own_keystone() -> Result<Arc<SharedKeystone>> {
    static OWN: Mutex<Weak<SharedKeystone>> = Mutex::new(Weak::new());
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(keystone) = own.upgrade() {
        return Ok(keystone);
    }
    let keystone = Arc::new(SharedKeystone::start()?);
    *own = Arc::downgrade(&keystone);
    Ok(keystone)
}

pub(super) fn read(dir: &Path) -> Result<Access> {
    let text = std::fs::read(dir.join("access.json"));
    let text = text.with_context(|| format!("no shared Keystone in {}", dir.display()))?;
    serde_json::from_slice(&text).context("the shared Keystone's file is damaged")
}
