//! Which daemons a stack runs, and starting again those that died, as systemd would.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::description::Description;
use super::layout::Layout;
use crate::files::replace_private_file;
use crate::process::{Launch, Process};
use crate::wait::pause;

/// How often the supervisor looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The pause before a restart, systemd's default; it doubles while the daemon keeps dying early.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A daemon that lived this long starts over with the first pause.
const LIVED: Duration = Duration::from_secs(10);

/// A daemon of the stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Daemon {
    /// `api`, `api-2`, `taskmanager`, `taskmanager-2`, `mariadb`, `rabbitmq`, `keystone`.
    pub name: String,
    /// How it is started.
    pub launch: Launch,
    /// Its present process, alive or not.
    pub process: Process,
}

/// What a stack runs; kept in a file so that another process can take over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// What clients know.
    pub description: Description,
    daemons: Vec<Daemon>,
}

impl State {
    pub(super) fn new(description: Description) -> Self {
        Self { description, daemons: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, launch: Launch, process: Process) {
        self.description.pids.insert(name.to_owned(), process.pid);
        self.daemons.push(Daemon { name: name.to_owned(), launch, process });
    }

    /// All daemons, in the order in which they were started.
    pub fn daemons(&self) -> impl Iterator<Item = &Daemon> {
        self.daemons.iter()
    }

    /// The daemon of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str) -> Result<&Daemon> {
        let names = || self.daemons.iter().map(|daemon| daemon.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.daemons.iter().find(|daemon| daemon.name == name);
        found.with_context(|| format!("no daemon {name}; there are {}", names()))
    }

    pub(super) fn start_again(&mut self, name: &str) -> Result<Process> {
        ensure!(self.find(name)?.process.is_gone(), "{name} still runs");
        let daemon = self.daemons.iter_mut().find(|daemon| daemon.name == name).context("no such daemon")?;
        daemon.process = daemon.launch.spawn()?;
        self.description.pids.insert(name.to_owned(), daemon.process.pid);
        Ok(daemon.process)
    }

    /// Reads the state of the stack in `dir`.
    ///
    /// # Errors
    /// No stack is up there.
    pub fn read(layout: &Layout) -> Result<Self> {
        let text = fs::read(layout.state()).with_context(|| format!("no stack is up in {}", layout.dir().display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", layout.state().display()))
    }

    pub(super) fn save(&self, layout: &Layout) -> Result<()> {
        let state = serde_json::to_string_pretty(self).context("cannot write the state")?;
        replace_private_file(&layout.state(), &state)?;
        let description = serde_json::to_string(&self.description).context("cannot write the description")?;
        replace_private_file(&layout.description(), &(description + "\n"))
    }
}

/// When a dead daemon may be started again.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    started: Instant,
    due: Option<Instant>,
}

impl Backoff {
    fn new(now: Instant) -> Self {
        Self { pause: FIRST_PAUSE, started: now, due: None }
    }

    /// Told at every look that the daemon is dead; true when it is time to start it.
    fn is_due(&mut self, now: Instant) -> bool {
        if let Some(due) = self.due {
            return now >= due;
        }
        if now.duration_since(self.started) >= LIVED {
            self.pause = FIRST_PAUSE;
        }
        self.due = Some(now + self.pause);
        false
    }

    fn restarted(&mut self, now: Instant) {
        self.started = now;
        self.due = None;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Watches the stack in `dir` until its directory is gone. With `restart`, a daemon that died is started again unless
/// it is held; without, it stays dead until somebody releases it. `say` is told what happens.
///
/// # Errors
/// The state cannot be read or written.
pub fn supervise(dir: &Path, restart: bool, say: &dyn Fn(&str)) -> Result<()> {
    let layout = Layout::open(dir)?;
    let mut state = State::read(&layout)?;
    let me = i32::try_from(std::process::id()).context("a pid out of range")?;
    state.description.pids.insert("supervisor".to_owned(), me);
    state.save(&layout)?;
    let mut backoffs: BTreeMap<String, Backoff> = BTreeMap::new();
    while layout.is_stack() {
        pause(LOOK_EVERY);
        start_dead(&layout, &mut state, restart.then_some(&mut backoffs), say)?;
    }
    Ok(())
}

/// Starts the dead daemons that somebody released, and with `backoffs` every other one that is not held.
fn start_dead(
    layout: &Layout,
    state: &mut State,
    mut backoffs: Option<&mut BTreeMap<String, Backoff>>,
    say: &dyn Fn(&str),
) -> Result<()> {
    let dead = state.daemons().filter(|daemon| daemon.process.is_gone());
    let dead: Vec<String> = dead.map(|daemon| daemon.name.clone()).collect();
    for name in dead {
        let now = Instant::now();
        let asked_for = fs::remove_file(layout.released(&name)).is_ok();
        let due = match &mut backoffs {
            Some(backoffs) if !layout.held(&name).exists() => {
                let backoff = backoffs.entry(name.clone()).or_insert_with(|| Backoff::new(now));
                let due = asked_for || backoff.is_due(now);
                if due {
                    backoff.restarted(now);
                }
                due
            }
            _ => asked_for,
        };
        if !due {
            continue;
        }
        match state.start_again(&name) {
            Ok(process) => say(&format!("{name} had ended and runs again as process {}", process.pid)),
            Err(error) => say(&format!("{name} had ended and cannot be started: {error:#}")),
        }
        state.save(layout)?;
    }
    Ok(())
}

/// Stops a daemon and has the supervisor leave it dead.
///
/// # Errors
/// There is none of this name or it does not end.
pub fn hold(dir: &Path, name: &str) -> Result<()> {
    let layout = Layout::open(dir)?;
    State::read(&layout)?.find(name)?;
    fs::write(layout.held(name), "").with_context(|| format!("cannot hold {name}"))?;
    // Read again: it may have been restarted just before the mark was seen.
    let process = State::read(&layout)?.find(name)?.process;
    process.signal(Signal::CONT)?;
    process.terminate(Duration::from_secs(20))
}

/// Has the supervisor start a daemon again that was held or has died; one that runs is left as it is.
///
/// # Errors
/// There is none of this name.
pub fn release(dir: &Path, name: &str) -> Result<()> {
    let layout = Layout::open(dir)?;
    let running = !State::read(&layout)?.find(name)?.process.is_gone();
    if !running {
        fs::write(layout.released(name), "").with_context(|| format!("cannot release {name}"))?;
    }
    match fs::remove_file(layout.held(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot release the daemon"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
