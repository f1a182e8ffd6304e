//! What systemd hears of a daemon's life, over a socket like its own.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
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

#[test]
fn systemd_hears_of_ready_watchdog_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "systemd::daemon", "--ignored"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000")
        .env_remove("WATCHDOG_PID")
        .spawn()
        .unwrap();
    let began = Instant::now();
    let hear = |wanted: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if str::from_utf8(&buffer[..length]).unwrap().trim() == wanted {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "everything but {wanted}");
        }
    };
    hear("READY=1");
    // Twice: it goes on.
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    hear("STOPPING=1");
    assert!(child.wait().unwrap().success());
}
