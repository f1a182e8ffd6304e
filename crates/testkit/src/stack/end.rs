//! Ending a stack: everything that belongs to its directory, in an order in which nothing is started again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::layout::Layout;
use crate::process::table::{Found, of_stack};
use crate::wait::pause;

/// Ends every process of the stack in `dir` and removes the directory. A directory without a stack, or none at all,
/// is left as it is, so doing it twice is fine.
///
/// # Errors
/// A process does not end or a file cannot be removed.
pub fn end(dir: &Path) -> Result<()> {
    let Ok(layout) = Layout::open(dir) else { return Ok(()) };
    end_all(layout.dir())?;
    if layout.is_stack() {
        fs::remove_dir_all(layout.dir()).with_context(|| format!("cannot remove {}", layout.dir().display()))?;
    }
    Ok(())
}

/// The processes of a stack, by the order in which they end: whoever restarts others goes before those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Supervisor,
    Daemon,
    Guest,
    Server,
    Broker,
    Rest,
}

const ORDER: [Rank; 6] = [Rank::Supervisor, Rank::Daemon, Rank::Guest, Rank::Server, Rank::Broker, Rank::Rest];

impl Rank {
    fn of(found: &Found) -> Self {
        match found.name.as_str() {
            "xtask" => Self::Supervisor,
            "redtrove-api" | "redtrove-taskma" => Self::Daemon,
            "redtrove-guesta" => Self::Guest,
            "redis-server" | "valkey-server" => Self::Server,
            "beam.smp" | "mariadbd" => Self::Broker,
            // epmd and helpers of the broker.
            _ => Self::Rest,
        }
    }

    /// How long a process of this kind may take to end by itself. Data of redis-servers goes with the directory, so
    /// they need no time to save it.
    fn patience(self) -> Duration {
        match self {
            Self::Supervisor | Self::Server => Duration::ZERO,
            Self::Guest | Self::Rest => Duration::from_secs(3),
            Self::Daemon => Duration::from_secs(10),
            Self::Broker => Duration::from_secs(15),
        }
    }
}

/// As [`end`], but files stay, for whoever wants to know why something failed.
///
/// # Errors
/// A process does not end.
pub fn end_processes(dir: &Path) -> Result<()> {
    let Ok(layout) = Layout::open(dir) else { return Ok(()) };
    end_all(layout.dir())
}

fn end_all(dir: &Path) -> Result<()> {
    // A process may have started another just before it ended, so one look is not enough.
    for _ in 0..5 {
        let found = of_stack(dir);
        if found.is_empty() {
            return Ok(());
        }
        for rank in ORDER {
            end_together(&found, rank)?;
        }
    }
    let left: Vec<String> =
        of_stack(dir).into_iter().map(|found| format!("{} {}", found.process.pid, found.name)).collect();
    if left.is_empty() { Ok(()) } else { bail!("processes of the stack do not end: {}", left.join(", ")) }
}

fn end_together(found: &[Found], rank: Rank) -> Result<()> {
    let mut left: Vec<&Found> = found.iter().filter(|found| Rank::of(found) == rank).collect();
    let started = Instant::now();
    if !rank.patience().is_zero() {
        for found in &left {
            // A paused process acts on no other signal.
            found.process.signal(Signal::CONT)?;
            found.process.signal(Signal::TERM)?;
        }
        while !left.is_empty() && started.elapsed() < rank.patience() {
            pause(Duration::from_millis(20));
            left.retain(|found| !found.process.is_gone());
        }
    }
    for found in left {
        found.process.kill().with_context(|| format!("{} does not end", found.command_line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::end;
    use crate::process::table::STACK_DIR_VARIABLE;
    use crate::process::{Launch, Process};
    use crate::stack::layout::Layout;

    fn start(layout: &Layout, script: &str) -> Process {
        let dir = layout.dir().to_str().expect("a plain path").to_owned();
        let launch = Launch::new("/bin/sh", layout.log("sh"), layout.dir()).arg("-c").arg(script);
        launch.env(STACK_DIR_VARIABLE, dir).spawn().expect("sh starts")
    }

    #[test]
    fn everything_ends_paused_or_not_and_the_folder_goes() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("stack");
        let layout = Layout::create(&dir).expect("a new stack");
        let paused = start(&layout, "sleep 600 & sleep 600");
        paused.signal(rustix::process::Signal::STOP).expect("paused");
        let running = start(&layout, "exec sleep 600");

        assert!(Layout::create(&dir).is_err(), "a living stack is not overwritten");
        end(&dir).expect("it ends");
        assert!(paused.is_gone() && running.is_gone() && !dir.exists());
        end(&dir).expect("twice is fine");
    }

    #[test]
    fn a_folder_that_is_no_stack_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
        end(dir.path()).expect("nothing to do");
        assert!(dir.path().join("thesis.txt").is_file());
    }
}
