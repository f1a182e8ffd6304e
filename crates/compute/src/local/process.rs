//! Processes by identity, pid and start time, and whose they are.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use redtrove_core::InstanceId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::layout::Layout;

/// The variable that names the instance's directory in the environment of its processes.
pub(super) const INSTANCE_DIR: &str = "REDTROVE_INSTANCE_DIR";

/// One process, this one and no later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// In clock ticks since the machine came up: field 22 of /proc/PID/stat.
    pub(super) started: u64,
}

impl Process {
    /// The living process with this number.
    pub(super) fn find(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (stat.state != 'Z').then_some(Self { pid, started: stat.started })
    }

    /// Whether it lives: its /proc entry is there with the same start time, and is no zombie.
    pub(super) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Whether it has this path among its arguments.
    pub(super) fn has_argument(self, path: &Path) -> bool {
        words(self.pid, "cmdline").iter().any(|word| word == path.as_os_str().as_bytes())
    }

    /// Sends a signal, to this process and to no later one. One that has ended is no error.
    fn signal(self, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        // The descriptor comes before the look at the start time: from then on the number cannot be reused.
        let fd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&fd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What /proc/PID/stat says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    session: i32,
    started: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
    }

    /// The name stands in brackets and may itself hold blanks and brackets.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.get(line.rfind(')')? + 1..)?.split_whitespace();
        // The state is field 3, the session field 6, the start time field 22.
        let state = fields.next()?.chars().next()?;
        let session = fields.nth(2)?.parse().ok()?;
        Some(Self { state, session, started: fields.nth(15)?.parse().ok()? })
    }
}

fn words(pid: i32, file: &str) -> Vec<Vec<u8>> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
}

/// What a process of an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// It is the agent.
    Agent,
    /// It is the server, or something else that the agent started.
    Work,
}

/// A living process of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) instance: InstanceId,
    pub(super) process: Process,
    pub(super) does: Does,
}

/// Every process of every instance, in one pass over /proc. `servers` are the names of engines' programs, since a
/// redis-server overwrites its command line and environment and only its working directory tells whose it is.
/// A shell or an editor of somebody who looks at an instance's directory is not a process of it.
pub(super) fn scan(layout: &Layout, servers: &[String]) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The identity comes first: should the number be reused meanwhile, the signal goes to nobody.
        let Some(stat) = Stat::read(pid).filter(|stat| stat.state != 'Z') else { continue };
        let Some((instance, config_is_named)) = owner(layout, servers, pid) else { continue };
        // What an agent forks looks like the agent until it becomes another program, but leads no session.
        let does = if config_is_named && stat.session == pid { Does::Agent } else { Does::Work };
        found.push(Found { instance, process: Process { pid, started: stat.started }, does });
    }
    Ok(found)
}

/// Whose process it is, and whether it was given the agent's configuration.
fn owner(layout: &Layout, servers: &[String], pid: i32) -> Option<(InstanceId, bool)> {
    let arguments = words(pid, "cmdline");
    // Kernel threads have none.
    let (_, rest) = arguments.split_first()?;
    let after_config = rest.iter().skip_while(|word| *word != b"--config").nth(1);
    if let Some(config) = after_config.map(|word| Path::new(OsStr::from_bytes(word)))
        && let Some(id) = layout.owner(config)
        && config == layout.agent_config(id)
    {
        return Some((id, true));
    }
    let prefix = format!("{INSTANCE_DIR}=");
    let environment = words(pid, "environ");
    let marked = environment.iter().find_map(|entry| entry.strip_prefix(prefix.as_bytes()));
    if let Some(id) = marked.and_then(|path| layout.owner(Path::new(OsStr::from_bytes(path)))) {
        return Some((id, false));
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    if !servers.iter().any(|server| server == name.trim_end()) {
        return None;
    }
    Some((layout.owner_of_cwd(&fs::read_link(format!("/proc/{pid}/cwd")).ok()?)?, false))
}

/// The name that the kernel keeps of a program.
pub(super) fn kernel_name(program: &Path) -> Option<String> {
    let name = program.file_name()?.as_bytes();
    Some(String::from_utf8_lossy(name.get(..15).unwrap_or(name)).into_owned())
}

/// How long a killed process may take to end: the kernel frees its memory first.
const KILL_TAKES: Duration = Duration::from_secs(5);
/// How often to look whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Asks the processes to end, kills those that have not after `patience`, and waits for them. False if one is left
/// that does not even go when killed.
pub(super) async fn end(processes: &[Process], patience: Duration) -> io::Result<bool> {
    Ok(signal_and_wait(processes, Signal::TERM, patience).await?
        || signal_and_wait(processes, Signal::KILL, KILL_TAKES).await?)
}

/// Whether all of them ended in time.
async fn signal_and_wait(processes: &[Process], signal: Signal, patience: Duration) -> io::Result<bool> {
    processes.iter().try_for_each(|process| process.signal(signal))?;
    let deadline = Instant::now() + patience;
    while processes.iter().any(|process| process.is_alive()) {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 43 44 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'S', session: 44, started: 987_654 }));
        assert_eq!(Stat::parse("42 (cat) S 7 42"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn the_kernel_keeps_fifteen_characters_of_a_name() {
        assert_eq!(kernel_name(Path::new("/usr/bin/redis-server")).unwrap(), "redis-server");
        assert_eq!(kernel_name(Path::new("/x/redtrove-guestagent")).unwrap(), "redtrove-guesta");
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_request_is_killed_and_another_with_its_number_is_not() {
        let mut child = Command::new("sh").args(["-c", "trap '' TERM; while :; do sleep 1; done"]).spawn().unwrap();
        let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
        let later = Process { started: process.started + 1, ..process };
        assert!(end(&[later], Duration::from_millis(1)).await.unwrap());
        assert!(process.is_alive());
        assert!(end(&[process], Duration::from_millis(50)).await.unwrap());
        assert!(!process.is_alive(), "a zombie counts as gone");
        child.wait().unwrap();
    }
}
