//! What lies where below a stack's directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::files::private_dir;
use crate::process::table::of_stack;

/// Paths below a stack's directory, which is absolute and free of links.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Makes the directories of a new stack. What an ended stack left there is removed; a living one, or files that
    /// no stack of ours wrote, are refused.
    ///
    /// # Errors
    /// The directory is in use or cannot be made.
    pub fn create(dir: &Path) -> Result<Self> {
        private_dir(dir)?;
        let layout = Self::open(dir)?;
        if !of_stack(&layout.dir).is_empty() {
            bail!("a stack runs in {} already; end it with: cargo xtask down --dir {0}", layout.dir.display());
        }
        if layout.is_stack() {
            fs::remove_dir_all(&layout.dir).context("cannot remove what an ended stack left")?;
            private_dir(&layout.dir)?;
        } else if fs::read_dir(&layout.dir).context("cannot look into the directory")?.next().is_some() {
            bail!("{} is not empty and holds no stack", layout.dir.display());
        }
        crate::files::private_file(
            &layout.mark(),
            "The directory of a redtrove stack; cargo xtask down removes it.\n",
        )?;
        for part in ["config", "log", "pki", "instances", "held", "released"] {
            private_dir(&layout.dir.join(part))?;
        }
        Ok(layout)
    }

    /// The layout of a stack that may be there already.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn open(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// Whether a stack of ours made this directory.
    pub fn is_stack(&self) -> bool {
        self.mark().is_file()
    }

    /// The stack's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn mark(&self) -> PathBuf {
        self.dir.join("redtrove-stack")
    }

    /// What clients need, the line that `up --json` prints.
    pub fn description(&self) -> PathBuf {
        self.dir.join("stack.json")
    }

    /// What the supervisor needs.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// A daemon's configuration.
    pub fn config(&self, daemon: &str) -> PathBuf {
        self.dir.join("config").join(format!("{daemon}.toml"))
    }

    /// The tokens that the API accepts.
    pub fn tokens(&self) -> PathBuf {
        self.dir.join("config").join("tokens.toml")
    }

    /// The password with which the API logs in to Keystone.
    pub fn keystone_password(&self) -> PathBuf {
        self.dir.join("config").join("keystone-password")
    }

    /// The broker's URL.
    pub fn bus_url(&self) -> PathBuf {
        self.dir.join("config").join("bus-url")
    }

    /// Where daemons log.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// A daemon's log.
    pub fn log(&self, daemon: &str) -> PathBuf {
        self.logs().join(format!("{daemon}.log"))
    }

    /// The authority and the control plane's certificates.
    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.dir.join("redtrove.db")
    }

    /// The URL of a database of the stack's own.
    pub fn database_url(&self) -> PathBuf {
        self.dir.join("config").join("database-url")
    }

    /// One directory for each guest.
    pub fn instances(&self) -> PathBuf {
        self.dir.join("instances")
    }

    /// While this file is there, the supervisor leaves the daemon dead.
    pub fn held(&self, daemon: &str) -> PathBuf {
        self.dir.join("held").join(daemon)
    }

    /// The supervisor takes this file away and starts the daemon.
    pub fn released(&self, daemon: &str) -> PathBuf {
        self.dir.join("released").join(daemon)
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn a_folder_with_other_files_is_not_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
        let error = Layout::create(dir.path()).expect_err("refused");
        assert!(error.to_string().contains("is not empty and holds no stack"), "{error}");
        assert!(dir.path().join("thesis.txt").is_file());
    }

    #[test]
    fn what_an_ended_stack_left_makes_room() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Layout::create(dir.path()).expect("a new stack");
        std::fs::write(first.database(), "old").expect("written");
        let second = Layout::create(dir.path()).expect("again");
        assert!(second.is_stack() && !second.database().exists());
    }
}
