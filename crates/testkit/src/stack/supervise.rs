//! Which daemons a stack runs, and starting again those that died, as systemd would.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
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
    /// `api`, `taskmanager`, `taskmanager-2`, `rabbitmq`.
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
/// it is held; without, it stays dead and only the block of addresses is kept. `say` is told what happens.
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
        if restart {
            restart_dead(&layout, &mut state, &mut backoffs, say)?;
        }
    }
    Ok(())
}

fn restart_dead(
    layout: &Layout,
    state: &mut State,
    backoffs: &mut BTreeMap<String, Backoff>,
    say: &dyn Fn(&str),
) -> Result<()> {
    let dead = |daemon: &&Daemon| daemon.process.is_gone() && !layout.held(&daemon.name).exists();
    let names: Vec<String> = state.daemons().filter(dead).map(|daemon| daemon.name.clone()).collect();
    for name in names {
        let now = Instant::now();
        let backoff = backoffs.entry(name.clone()).or_insert_with(|| Backoff::new(now));
        if !backoff.is_due(now) {
            continue;
        }
        backoff.restarted(now);
        match state.start_again(&name) {
            Ok(process) => say(&format!("{name} had died and runs again as process {}", process.pid)),
            Err(error) => say(&format!("{name} had died and cannot be started: {error:#}")),
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
    process.terminate(Duration::from_secs(20))
}

/// Lets the supervisor start a held daemon again.
///
/// # Errors
/// There is none of this name.
pub fn release(dir: &Path, name: &str) -> Result<()> {
    let layout = Layout::open(dir)?;
    State::read(&layout)?.find(name)?;
    match fs::remove_file(layout.held(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot release the daemon"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
