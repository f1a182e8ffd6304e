//! The two ways to start redis-server: as a process in a session of its own, and as a unit of systemd.

use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::home::{Home, REDIS_CONF};
use crate::process::{ProcessMark, Watch};

/// How long systemd may take to start the unit.
const SYSTEMD_TIMEOUT: Duration = Duration::from_secs(90);
/// The pause between two looks whether the unit has its process.
const SYSTEMD_PAUSE: Duration = Duration::from_millis(50);

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
    let started = timeout(SYSTEMD_TIMEOUT, begin_unit(systemctl, unit)).await;
    started.unwrap_or_else(|_| Err(format!("{systemctl} did not start {unit} in time")))
}

/// Not waited for by `systemctl` itself: where the unit is of `Type=notify`, it has started only when redis-server has
/// read its data set, and how far that is, redis-server says better.
async fn begin_unit(systemctl: &str, unit: &str) -> Result<Running, String> {
    let start = ask_systemd(systemctl, &["start", "--no-block", "--", unit]).await?;
    if !start.status.success() {
        return Err(format!("{systemctl} did not start {unit}: {}", String::from_utf8_lossy(&start.stderr).trim()));
    }
    loop {
        let shown = ask_systemd(systemctl, &["show", "--property=MainPID,Job", "--", unit]).await?;
        let shown = String::from_utf8_lossy(&shown.stdout);
        let number = |name| {
            let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        match ProcessMark::of(number("MainPID")).map(Running::foreign) {
            Some(Ok(Some(running))) => return Ok(running),
            Some(Err(error)) => return Err(format!("the process of {unit} cannot be watched: {error}")),
            // As long as its job is there systemd is at it, or waits before it starts a unit again that failed.
            _ if number("Job") != 0 => sleep(SYSTEMD_PAUSE).await,
            _ => return Err(format!("{unit} was started and has ended again")),
        }
    }
}

async fn ask_systemd(systemctl: &str, words: &[&str]) -> Result<Output, String> {
    let output = Command::new(systemctl).args(words).stdin(Stdio::null()).output().await;
    output.map_err(|error| format!("{systemctl} cannot be run: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// A `systemctl` that knows one unit, a process that sleeps. As with the real one, the process is not there yet
    /// when it is first asked for, and its job is.
    const SYSTEMCTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
for unit; do :; done
[ "$unit" = good.service ] || { echo "Unit $unit not found." >&2; exit 5; }
case "$1" in
start) [ -e pid ] || echo 7 >job ;;
show)
    if [ -e pid ]; then
        echo "MainPID=$(cat pid)"
    elif [ -e asked ]; then
        sleep 1000 >/dev/null 2>&1 & echo $! >pid; rm job
        echo "MainPID=$(cat pid)"
    else
        touch asked
        printf 'MainPID=0\nJob=%s\n' "$(cat job)"
    fi ;;
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
