//! The two ways to start redis-server: as a process in a session of its own, and as a unit of systemd.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::home::{Home, REDIS_CONF};
use crate::process::{ProcessMark, Watch};

/// How long systemd may take to start the unit.
const SYSTEMD_TIMEOUT: Duration = Duration::from_secs(90);

/// Who starts redis-server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supervisor {
    /// The agent itself, in a session of its own, so that the end of the agent is not its end.
    Process,
    /// systemd. The unit runs `redis-server <directory>/redis.conf`; which binary that is, the unit says.
    Systemd {
        /// The name of the unit.
        unit: String,
        /// The program to ask: `systemctl`.
        systemctl: String,
    },
}

/// A redis-server that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) mark: ProcessMark,
    wait: Wait,
}

#[derive(Debug)]
enum Wait {
    /// Ours: waited for as a child, which also takes its zombie away.
    Child(Child),
    /// Somebody else's.
    Foreign(Watch),
}

impl Running {
    /// A process that another agent, or systemd, has started; absent if it has ended.
    pub(super) fn foreign(mark: ProcessMark) -> io::Result<Option<Self>> {
        Ok(mark.watch()?.map(|watch| Self { mark, wait: Wait::Foreign(watch) }))
    }

    /// Waits for its end and says how it was.
    pub(super) async fn ended(&mut self) -> String {
        let pid = self.mark.pid;
        match &mut self.wait {
            Wait::Child(child) => match child.wait().await {
                Ok(status) => format!("process {pid} ended with {status}"),
                Err(error) => format!("process {pid} cannot be waited for: {error}"),
            },
            Wait::Foreign(watch) => match watch.ended().await {
                Ok(()) => format!("process {pid} ended"),
                Err(error) => format!("process {pid} cannot be waited for: {error}"),
            },
        }
    }
}

/// Starts redis-server; the error is a sentence for the log and the status.
pub(super) async fn launch(home: &Home, supervisor: &Supervisor, binary: &Path) -> Result<Running, String> {
    match supervisor {
        Supervisor::Process => {
            spawn(home, binary).map_err(|error| format!("{} cannot be started: {error}", binary.display()))
        }
        Supervisor::Systemd { unit, systemctl } => start_unit(systemctl, unit).await,
    }
}

/// Starts it as a process. Its command line holds the path of redis.conf, which says whose it is.
fn spawn(home: &Home, binary: &Path) -> io::Result<Running> {
    let log = home.open_log()?;
    // The child is no group leader, so `setsid` does not fork: what we wait for becomes redis-server itself.
    let child = Command::new("setsid")
        .arg(binary)
        .arg(home.path(REDIS_CONF))
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    match pid.and_then(ProcessMark::of) {
        Some(mark) => Ok(Running { mark, wait: Wait::Child(child) }),
        None => Err(io::Error::other("it ended at once")),
    }
}

async fn start_unit(systemctl: &str, unit: &str) -> Result<Running, String> {
    let run = |words: &[&str]| Command::new(systemctl).args(words).arg(unit).stdin(Stdio::null()).output();
    let output = match timeout(SYSTEMD_TIMEOUT, run(&["start", "--"])).await {
        Ok(output) => output.map_err(|error| format!("{systemctl} cannot be run: {error}"))?,
        Err(_) => return Err(format!("{systemctl} did not start {unit} in time")),
    };
    if !output.status.success() {
        return Err(format!("{systemctl} did not start {unit}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let output = run(&["show", "--property=MainPID", "--value", "--"]).await;
    let output = output.map_err(|error| format!("{systemctl} cannot be run: {error}"))?;
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    let running = pid.and_then(ProcessMark::of).map(Running::foreign);
    match running {
        Some(Ok(Some(running))) => Ok(running),
        Some(Err(error)) => Err(format!("the process of {unit} cannot be watched: {error}")),
        _ => Err(format!("{unit} was started and has ended again")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// A `systemctl` that knows one unit, a process that sleeps.
    const SYSTEMCTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
for unit; do :; done
[ "$unit" = good.service ] || { echo "Unit $unit not found." >&2; exit 5; }
case "$1" in
start) [ -e pid ] || { sleep 1000 >/dev/null 2>&1 & echo $! >pid; } ;;
show) cat pid ;;
esac
"#;

    #[tokio::test]
    async fn a_unit_is_started_and_its_process_is_watched() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(&place.path().join("node")).unwrap();
        let program = place.path().join("systemctl");
        std::fs::write(&program, SYSTEMCTL).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let systemd =
            |unit: &str| Supervisor::Systemd { unit: unit.to_owned(), systemctl: program.display().to_string() };

        let error = launch(&home, &systemd("bad.service"), Path::new("/unused")).await.unwrap_err();
        assert!(error.ends_with("did not start bad.service: Unit bad.service not found."), "{error}");
        let mut running = launch(&home, &systemd("good.service"), Path::new("/unused")).await.unwrap();
        assert!(running.mark.is_alive());
        kill_process(Pid::from_raw(running.mark.pid).unwrap(), Signal::KILL).unwrap();
        assert_eq!(running.ended().await, format!("process {} ended", running.mark.pid));
        let error = launch(&home, &systemd("good.service"), Path::new("/unused")).await.unwrap_err();
        assert!(error.ends_with("has ended again"), "{error}");
    }

    #[tokio::test]
    async fn a_binary_that_is_not_there_is_named() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        let mut running = match launch(&home, &Supervisor::Process, Path::new("/no/such/redis-server")).await {
            Ok(running) => running,
            Err(error) => return assert!(error.contains("/no/such/redis-server"), "{error}"),
        };
        // `setsid` itself starts, and says in the log what it did not find.
        running.ended().await;
        assert!(home.log_tail().contains("/no/such/redis-server"), "{}", home.log_tail());
    }
}
