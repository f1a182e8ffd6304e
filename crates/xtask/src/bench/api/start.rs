//! How long a daemon takes from its start to its own word, systemd's `READY=1`, that it serves.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::Launch;

use crate::bench::Bench;

/// A start of any daemon is a matter of milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long the daemon may take to end again.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// How long one wait for a word is, between two looks at the daemon.
const LISTEN: Duration = Duration::from_millis(100);

/// Starts what `launch` says `runs` times, ends it again each time, and returns the times until it was ready.
/// Milliseconds.
pub(super) fn times(bench: &Bench<'_>, launch: &Launch, runs: usize) -> Result<Vec<f64>> {
    let socket = Socket::bind(bench.dir.join("notify"))?;
    let launch = launch.clone().env("NOTIFY_SOCKET", socket.path.to_str().context("a path is not UTF-8")?);
    (0..runs).map(|_| once(bench, &launch, &socket.datagrams)).collect()
}

fn once(bench: &Bench<'_>, launch: &Launch, words: &UnixDatagram) -> Result<f64> {
    let program = launch.program.display();
    let began = Instant::now();
    let process = launch.spawn()?;
    let took = loop {
        if is_ready(words)? {
            break began.elapsed();
        }
        bench.interrupt.check()?;
        if process.is_gone() || began.elapsed() > READY_WITHIN {
            bail!("{program} was not ready; what it said is in {}", launch.log.display());
        }
    };
    process.terminate(ENDS_WITHIN)?;
    // What it says on its way out is not for the next one.
    while is_said(words)?.is_some() {}
    Ok((took.as_secs_f64() * 1e5).round() / 100.0)
}

/// Whether the daemon says within [`LISTEN`] that it is ready.
fn is_ready(words: &UnixDatagram) -> Result<bool> {
    Ok(is_said(words)?.is_some_and(|said| said.lines().any(|line| line == "READY=1")))
}

fn is_said(words: &UnixDatagram) -> Result<Option<String>> {
    let mut said = [0; 4096];
    match words.recv(&mut said) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(said.get(..length).unwrap_or_default()).into_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error).context("cannot hear what daemons say"),
    }
}

/// Where daemons say how they are; removed with this value.
struct Socket {
    path: PathBuf,
    datagrams: UnixDatagram,
}

impl Socket {
    fn bind(path: PathBuf) -> Result<Self> {
        let datagrams = UnixDatagram::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
        datagrams.set_read_timeout(Some(LISTEN))?;
        Ok(Self { path, datagrams })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The directory goes, too; this only makes room for the next daemon's.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::{Socket, is_ready};

    #[test]
    fn a_daemon_is_ready_when_it_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = Socket::bind(dir.path().join("notify")).expect("a socket");
        assert!(!is_ready(&socket.datagrams).expect("silence"));
        let daemon = UnixDatagram::unbound().expect("a socket");
        for (word, ready) in [("STATUS=READY=1", false), ("READY=1\n", true), ("STOPPING=1\n", false)] {
            daemon.send_to(word.as_bytes(), &socket.path).expect("sent");
            assert_eq!(is_ready(&socket.datagrams).expect("heard"), ready, "{word}");
        }
    }
}
