//! Programs from PyPI, each set in a virtual environment that is made once and kept below cargo's target directory.

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

/// Installs `wanted`, each with its version, below this target directory, unless that is done. One process does it
/// while others wait. Returns the directory; the programs are in `venv/bin`.
///
/// # Errors
/// Python or pip is missing, or pip says why it cannot.
pub fn ensure(target: &Path, name: &str, wanted: &[&str]) -> Result<PathBuf> {
    let dir = target.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let lock = File::create(target.join(format!("{name}.lock"))).context("no lock for the installation")?;
    flock(&lock, FlockOperation::LockExclusive).context("cannot wait for the installation")?;
    let mark = dir.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted.join("\n")) {
        return Ok(dir);
    }
    fs::remove_dir_all(&dir).context("cannot remove what was half installed")?;
    fs::create_dir_all(dir.join("home")).context("no folder for the programs")?;
    let place = crate::files::text(&dir.join("venv"))?;
    run(Command::new(PYTHON).args(["-m", "venv", "--without-pip", &place]))?;
    let python = format!("{place}/bin/python");
    let options = ["--python", &python, "--disable-pip-version-check", "--quiet", "install"];
    run(Command::new(PIP3).args(options).args(wanted))?;
    fs::write(mark, wanted.join("\n")).context("cannot mark the installation as complete")?;
    Ok(dir)
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
