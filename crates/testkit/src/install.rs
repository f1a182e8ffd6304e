//! Debian packages: what is missing, and putting it in place without starting any service.

use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The script that does it, run as root.
const SCRIPT: &str = include_str!("install/install.sh");

/// A Debian package and the programs that prove that it, or something as good, is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Its name for apt-get.
    pub name: &'static str,
    /// Programs, by name (looked up on PATH and in the system's folders) or by absolute path.
    pub proof: &'static [&'static str],
}

/// redis-server, and with it redis-cli.
pub const REDIS: Package = Package { name: "redis-server", proof: &["redis-server", "redis-cli"] };
/// What drops packets in a network namespace.
pub const IPTABLES: Package = Package { name: "iptables", proof: &["iptables"] };
/// What has a program see another time than the machine's.
pub const FAKETIME: Package = Package { name: "faketime", proof: &["faketime"] };
/// What sets up network namespaces.
pub const IPROUTE: Package = Package { name: "iproute2", proof: &["ip"] };
/// The message broker.
pub const RABBITMQ: Package = Package { name: "rabbitmq-server", proof: &[crate::rabbitmq::SERVER, "epmd"] };

/// The folders where Debian puts programs, looked at even where a user's PATH leaves some out.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Finds a program on PATH, then in the system's folders; an absolute path is only checked.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    find_in(name, folders)
}

fn find_in(name: &str, mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    if Path::new(name).is_absolute() {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_absolute() && path.is_file()))
}

/// Those of the packages that this machine lacks.
pub fn missing(wanted: &[Package]) -> Vec<Package> {
    wanted.iter().copied().filter(|package| !package.proof.iter().all(|name| find_program(name).is_some())).collect()
}

/// The command a person would type.
pub fn command_line(packages: &[Package]) -> String {
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    format!("sudo apt-get install --no-install-recommends {}", names.join(" "))
}

/// Packages are missing and this user may not install them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The exact command that mends it.
    pub command: String,
    /// Why it was not run.
    pub reason: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; run this and come back:\n  {}", self.reason, self.command)
    }
}

impl std::error::Error for Refused {}

/// Installs the packages: as root at once, else through `sudo -n`. No service of theirs is started.
///
/// apt-get runs in a process group of its own, so that a Ctrl-C never interrupts dpkg; whoever handles the signal
/// waits for this call and stops after it. Even a killed caller leaves no policy-rc.d behind, since the script
/// removes it by itself.
///
/// # Errors
/// [`Refused`] where neither way is open, or a sentence when apt-get fails.
pub fn install(packages: &[Package]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let refused = |reason| Refused { command: command_line(packages), reason };
    if find_program("apt-get").is_none() {
        bail!(refused("packages are missing and this machine has no apt-get"));
    }
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("sh")
    } else if may_sudo() {
        let mut command = Command::new("sudo");
        command.args(["-n", "sh"]);
        command
    } else {
        bail!(refused("packages are missing and sudo is refused or not there"));
    };
    command.args(["-c", SCRIPT, "redtrove-install", POLICY]).args(packages.iter().map(|package| package.name));
    command.stdin(Stdio::null()).process_group(0);
    let status = command.status().context("cannot run apt-get")?;
    if !status.success() {
        bail!("apt-get could not install the packages ({status}); by hand it would be: {}", command_line(packages));
    }
    match missing(packages).as_slice() {
        [] => Ok(()),
        [first, ..] => bail!("package {} is installed and yet its programs are not there", first.name),
    }
}

/// Where Debian's maintainer scripts ask whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

fn may_sudo() -> bool {
    let mut command = Command::new("sudo");
    command.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests;
