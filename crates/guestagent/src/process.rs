//! Processes known by more than their number, as the system gives numbers out again.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

/// One process and no other: its number, when it started and since which boot of the machine that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the boot (`starttime` of proc_pid_stat(5)).
    pub start_ticks: u64,
    /// The boot of the machine.
    pub boot: String,
}

impl ProcessMark {
    /// The mark of the process that has this number now; absent if there is none, or only its zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_ticks = start_of_live(&stat)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        Some(Self { pid, start_ticks, boot })
    }

    /// Whether the process is still there.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Something to wait for the end of the process with, child or not; absent if it has ended.
    pub fn watch(&self) -> io::Result<Option<Watch>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Looked at after the handle is open: it is the handle of this process, or of none.
        if !self.is_alive() {
            return Ok(None);
        }
        #[expect(deprecated, reason = "its heir asks, by `unsafe`, for a descriptor that stays: an OwnedFd does")]
        let watched = AsyncFd::new(handle)?;
        Ok(Some(Watch(watched)))
    }
}

/// A process that is waited for.
#[derive(Debug)]
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Returns when the process has ended.
    pub async fn ended(&self) -> io::Result<()> {
        self.0.readable().await?.retain_ready();
        Ok(())
    }
}

/// Field 22 of /proc/<pid>/stat, unless field 3 says that the process is dead. Field 2, the program's name in
/// parentheses, may hold anything, so fields are counted from its end.
fn start_of_live(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let tail = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_of_live(&format!("12 (redis) S{tail}")), Some(4711));
        assert_eq!(start_of_live(&format!("12 (a) Z (b) S{tail}")), Some(4711));
        assert_eq!(start_of_live(&format!("12 (redis) Z{tail}")), None);
        assert_eq!(start_of_live("12 (redis"), None);
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_seen() {
        let mut child = tokio::process::Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
        let mark = ProcessMark::of(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        assert!(mark.is_alive());
        assert!(!ProcessMark { start_ticks: mark.start_ticks + 1, ..mark.clone() }.is_alive());
        assert!(!ProcessMark { boot: String::new(), ..mark.clone() }.is_alive());
        let watch = mark.watch().unwrap().unwrap();
        child.start_kill().unwrap();
        watch.ended().await.unwrap();
        child.wait().await.unwrap();
        assert!(!mark.is_alive());
        assert!(mark.watch().unwrap().is_none());
    }
}
