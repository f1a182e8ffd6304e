//! OpenStack's own command lines, from PyPI.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::venv;

/// What is installed; other versions are taken on purpose, not by the day of the week.
const WANTED: [&str; 2] = ["python-openstackclient==10.5.0", "python-troveclient==8.11.0"];
/// A command that takes longer hangs, seconds.
const ENDS_WITHIN: &str = "180";

/// The installed programs.
#[derive(Debug, Clone)]
pub struct Clients {
    dir: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether it ended well.
    pub good: bool,
    /// What it printed.
    pub said: String,
    /// What it complained of.
    pub complained: String,
}

impl Clients {
    /// Installs them below this target directory, unless they are there. One process does it while others wait.
    ///
    /// # Errors
    /// Python or pip is missing, or pip says why it cannot.
    pub fn install(target: &Path) -> Result<Self> {
        Ok(Self { dir: venv::ensure(target, "openstack-clients", &WANTED)? })
    }

    /// Those of the build that the running test belongs to.
    ///
    /// # Errors
    /// As [`Clients::install`].
    pub fn beside_test() -> Result<Self> {
        let test = std::env::current_exe().context("a test does not know its own program")?;
        // target/debug/deps/<test>
        Self::install(test.ancestors().nth(3).context("the test's program has no place")?)
    }

    /// Runs `openstack` or `trove` with nothing in its environment but these variables.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn run(&self, program: &str, env: &[(String, String)], args: &[&str]) -> Result<Ended> {
        let path = "/usr/bin:/bin";
        self.run_within(ENDS_WITHIN, path, &self.dir.join("venv").join("bin").join(program), env, args)
    }

    /// Runs lines of a shell in which `openstack` is a command, as [`Clients::run`] does; ten minutes at most.
    ///
    /// # Errors
    /// There is no shell.
    pub fn shell(&self, env: &[(String, String)], lines: &str) -> Result<Ended> {
        let path = format!("{}:/usr/bin:/bin", self.dir.join("venv").join("bin").display());
        self.run_within("600", &path, Path::new("bash"), env, &["-c", lines])
    }

    fn run_within(
        &self,
        seconds: &str,
        path: &str,
        program: &Path,
        env: &[(String, String)],
        args: &[&str],
    ) -> Result<Ended> {
        let mut command = Command::new("timeout");
        command.arg(seconds).arg(program).args(args);
        // A home of their own: files of the developer's clouds are none of ours.
        command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").env("HOME", self.dir.join("home"));
        command.envs(env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { good: output.status.success(), said: text(&output.stdout), complained: text(&output.stderr) })
    }
}
