//! OpenStack's own command lines, from PyPI, in a virtual environment that is made once and kept below cargo's target
//! directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::install::Package;

/// pip, which Debian's python3 comes without.
pub const PIP: Package = Package { name: "python3-pip", proof: &[PYTHON, PIP3] };

// Debian's own: a user's PATH may lead to a Python that was built without parts of its library.
const PYTHON: &str = "/usr/bin/python3";
const PIP3: &str = "/usr/bin/pip3";
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
        let dir = target.join("openstack-clients");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let lock = File::create(target.join("openstack-clients.lock")).context("no lock for the installation")?;
        flock(&lock, FlockOperation::LockExclusive).context("cannot wait for the installation")?;
        let clients = Self { dir };
        let mark = clients.dir.join("installed");
        if fs::read_to_string(&mark).is_ok_and(|installed| installed == WANTED.join("\n")) {
            return Ok(clients);
        }
        fs::remove_dir_all(&clients.dir).context("cannot remove what was half installed")?;
        fs::create_dir_all(clients.dir.join("home")).context("no folder for the clients")?;
        let place = crate::files::text(&clients.dir.join("venv"))?;
        run(Command::new(PYTHON).args(["-m", "venv", "--without-pip", &place]))?;
        let python = format!("{place}/bin/python");
        let options = ["--python", &python, "--disable-pip-version-check", "--quiet", "install"];
        run(Command::new(PIP3).args(options).args(WANTED))?;
        fs::write(mark, WANTED.join("\n")).context("cannot mark the installation as complete")?;
        Ok(clients)
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
        let mut command = Command::new("timeout");
        command.arg(ENDS_WITHIN).arg(self.dir.join("venv").join("bin").join(program)).args(args);
        // A home of their own: files of the developer's clouds are none of ours.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("HOME", self.dir.join("home"));
        command.envs(env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {program}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { good: output.status.success(), said: text(&output.stdout), complained: text(&output.stderr) })
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let names = || format!("install the package {}", PIP.name);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}; {}", names()))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}
