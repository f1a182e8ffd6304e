//! What systemd hears of a daemon's life, over a socket like its own.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redtrove_service::notify;
use redtrove_service::run::run_from;

use crate::scaffold::{Args, Config, arguments};

/// A daemon with a systemd around it. Started by the test below in a process of its own, whose environment says so.
#[test]
#[ignore = "runs as the child of systemd_hears_of_ready_watchdog_and_stopping"]
fn daemon() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    std::fs::write(&config, "").unwrap();
    run_from(arguments(&config, &[]), |_: Args, _: Config, shutdown| async move {
        notify::ready();
        shutdown.token().cancelled().await;
        Ok(())
    });
}

/// A daemon whose only loop stops turning after a moment, and that ends by itself a second later.
#[test]
#[ignore = "runs as the child of systemd_hears_nothing_of_a_daemon_that_hangs"]
fn hanging_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    std::fs::write(&config, "").unwrap();
    run_from(arguments(&config, &[]), |_: Args, _: Config, shutdown| async move {
        let turns = shutdown.pulses().count("loop", Duration::from_millis(300));
        notify::ready();
        for _ in 0..10 {
            turns.add();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        // The pings that are missed are those of this time.
        notify::stopping();
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    });
}

/// A daemon that does not heed the wish to stop.
#[test]
#[ignore = "runs as the child of a_second_sigterm_ends_a_daemon_at_once"]
fn deaf_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    std::fs::write(&config, "").unwrap();
    run_from(arguments(&config, &[]), |_: Args, _: Config, _| async move {
        notify::ready();
        std::future::pending().await
    });
}

/// The child that runs one of the daemons above, and what systemd hears of it.
struct Daemon {
    child: Child,
    socket: UnixDatagram,
    began: Instant,
    _directory: tempfile::TempDir,
}

impl Daemon {
    fn start(test: &str) -> Self {
        Self::start_saying_to(Stdio::inherit(), test)
    }

    /// With this for its standard error, where its log goes.
    fn start_saying_to(log: Stdio, test: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .stderr(log)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "100000")
            .env_remove("WATCHDOG_PID")
            .spawn()
            .unwrap();
        Self { child, socket, began: Instant::now(), _directory: directory }
    }

    /// Waits for the message, and counts the others before it.
    fn hear(&self, wanted: &str) -> usize {
        let mut buffer = [0; 256];
        for others in 0.. {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if str::from_utf8(&buffer[..length]).unwrap().trim() == wanted {
                return others;
            }
            assert!(self.began.elapsed() < Duration::from_secs(30), "everything but {wanted}");
        }
        unreachable!()
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn systemd_hears_of_ready_watchdog_and_stopping() {
    let daemon = Daemon::start("systemd::daemon");
    daemon.hear("READY=1");
    // Twice: it goes on.
    daemon.hear("WATCHDOG=1");
    daemon.hear("WATCHDOG=1");
    daemon.terminate();
    daemon.hear("STOPPING=1");
    daemon.ends_well();
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let daemon = Daemon::start_saying_to(full.into(), "systemd::daemon");
    daemon.hear("READY=1");
    daemon.terminate();
    // It says so in its log, too.
    daemon.hear("STOPPING=1");
    daemon.ends_well();
}

#[test]
fn systemd_hears_nothing_of_a_daemon_that_hangs() {
    let daemon = Daemon::start("systemd::hanging_daemon");
    daemon.hear("READY=1");
    let turning = daemon.hear("STOPPING=1");
    assert!(turning >= 5, "{turning} pings while it turned");
    daemon.socket.set_read_timeout(Some(Duration::from_millis(1_200))).unwrap();
    let silence = daemon.socket.recv(&mut [0; 256]);
    assert!(silence.is_err(), "no ping for longer than ten periods");
    daemon.ends_well();
}

#[test]
fn a_second_sigterm_ends_a_daemon_at_once() {
    let daemon = Daemon::start("systemd::deaf_daemon");
    daemon.hear("READY=1");
    daemon.terminate();
    daemon.hear("STOPPING=1");
    let again = Instant::now();
    daemon.terminate();
    daemon.ends_well();
    assert!(again.elapsed() < Duration::from_secs(5), "{:?}", again.elapsed());
}
