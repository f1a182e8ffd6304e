//! Processes by identity: pid and start time, so that a reused pid is never mistaken for the process that had it.

pub mod table;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use serde::{Deserialize, Serialize};

use crate::wait::wait_for;

/// How long a killed process may take to vanish from /proc.
const KILL_TAKES: Duration = Duration::from_secs(10);

/// One process, this one and no later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since the machine came up (field 22 of /proc/PID/stat).
    pub started: u64,
}

impl Process {
    /// The process that has this pid now; none if there is none or if it is only a zombie.
    pub fn find(pid: i32) -> Option<Self> {
        let stat = table::Stat::read(pid)?;
        (stat.state != 'Z').then_some(Self { pid, started: stat.started })
    }

    /// Whether the process has ended: its /proc entry is missing, its start time differs, or its state is Z.
    pub fn is_gone(&self) -> bool {
        self.reap();
        match table::Stat::read(self.pid) {
            None => true,
            Some(stat) => stat.started != self.started || stat.state == 'Z',
        }
    }

    /// Pauses it (SIGSTOP), and waits until none of its threads runs any more.
    ///
    /// # Errors
    /// The signal may not be sent to this process, or its threads go on.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        wait_for(&format!("the threads of process {} to stop", self.pid), KILL_TAKES, || {
            Ok(table::states_of_threads(self.pid).iter().all(|state| "TtZX".contains(*state)).then_some(()))
        })
    }

    /// Sends a signal. A process that is gone already is no error.
    ///
    /// # Errors
    /// The signal may not be sent to this process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        // The pidfd is taken before the identity is checked: from then on the number cannot be reused under us.
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
        if self.is_gone() {
            return Ok(());
        }
        match pidfd_send_signal(&pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// It may not be killed or does not go.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        wait_for(&format!("process {} to be gone", self.pid), KILL_TAKES, || Ok(self.is_gone().then_some(())))
    }

    /// Asks the process to end (SIGTERM), and kills it when it has not ended after `patience`.
    ///
    /// # Errors
    /// It may not be signalled or does not go.
    pub fn terminate(&self, patience: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let asked = wait_for("a polite end", patience, || Ok(self.is_gone().then_some(())));
        if asked.is_ok() { Ok(()) } else { self.kill() }
    }

    /// Takes the exit status if this is a child of ours, so that no zombie stays.
    fn reap(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // Not our child: ECHILD, and nothing to reap.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// How to start a program of its own: in its own session, so that a Ctrl-C in the terminal and the end of the
/// starter do not touch it, its output in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables set on top of the inherited environment.
    pub env: BTreeMap<String, String>,
    /// The file that receives standard output and standard error, appended.
    pub log: PathBuf,
    /// The working directory.
    pub cwd: PathBuf,
}

/// What a started program must not inherit: another stack's configuration, and systemd's sockets of ourselves.
const NOT_INHERITED: [&str; 4] = ["REDTROVE_CONFIG", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"];

impl Launch {
    /// A launch without arguments and variables.
    pub fn new(program: impl Into<PathBuf>, log: impl Into<PathBuf>, cwd: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: BTreeMap::new(), log: log.into(), cwd: cwd.into() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// The log cannot be opened or the program cannot be started.
    pub fn spawn(&self) -> Result<Process> {
        self.spawn_with_stdin(Stdio::null())
    }

    /// Starts the program with something of ours as its standard input.
    ///
    /// # Errors
    /// As [`Launch::spawn`].
    pub fn spawn_with_stdin(&self, stdin: Stdio) -> Result<Process> {
        anyhow::ensure!(self.program.is_file(), "no program {}", self.program.display());
        let log = open_log(&self.log)?;
        let errors = log.try_clone().context("cannot share the log")?;
        // setsid(1) execs in place here, since a child of ours never leads a process group: the pid stays.
        let mut command = Command::new("setsid");
        command.arg(&self.program).args(&self.args).current_dir(&self.cwd).envs(&self.env);
        NOT_INHERITED.iter().filter(|name| !self.env.contains_key(**name)).for_each(|name| {
            command.env_remove(name);
        });
        command.stdin(stdin).stdout(log).stderr(errors);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let pid = i32::try_from(child.id()).context("a pid out of range")?;
        // A child that has ended already is still identified: its zombie waits for us.
        let stat = table::Stat::read(pid).with_context(|| format!("{} vanished", self.program.display()))?;
        Ok(Process { pid, started: stat.started })
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests;
