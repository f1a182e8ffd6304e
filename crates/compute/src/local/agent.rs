//! The guest agents' processes: each in a session of its own, so that it lives on when the taskmanager ends, and
//! found again by the taskmanager that comes next.

use std::env;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use redtrove_core::InstanceId;

use super::layout::Layout;
use super::process::{INSTANCE_DIR, Process};

/// The variable that names the directory of the whole installation; passed on, so that its processes can be found.
const STACK_DIR: &str = "REDTROVE_STACK_DIR";
/// All that an agent inherits: nothing of ours may reach a guest by accident.
const INHERITED: [&str; 6] = ["PATH", "TZ", "LANG", "TMPDIR", "RUST_BACKTRACE", STACK_DIR];

/// Starts agents and remembers those it started until they are reaped.
#[derive(Debug)]
pub(super) struct Agents {
    pub(super) program: PathBuf,
    children: Mutex<Vec<Child>>,
}

impl Agents {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program, children: Mutex::new(Vec::new()) }
    }

    /// The instance's agent as last noted, if it lives.
    pub(super) fn noted(layout: &Layout, id: InstanceId) -> Option<Process> {
        let noted: Process = serde_json::from_slice(&fs::read(note(layout, id)).ok()?).ok()?;
        // After a restart of the machine the same number and time may, with bad luck, be another process.
        (noted.is_alive() && noted.has_argument(&layout.agent_config(id))).then_some(noted)
    }

    /// Whether an agent was ever started here.
    pub(super) fn was_started(layout: &Layout, id: InstanceId) -> bool {
        note(layout, id).exists()
    }

    /// Notes which process the instance's agent is.
    pub(super) fn write_note(layout: &Layout, id: InstanceId, process: Process) -> io::Result<()> {
        let path = note(layout, id);
        let fresh = path.with_extension("json.new");
        fs::write(&fresh, serde_json::to_vec(&process)?)?;
        fs::rename(fresh, path)
    }

    /// Starts the instance's agent. A second one beside a living first is harmless: the agent holds a lock in its
    /// directory, and one that cannot get it ends.
    pub(super) fn start(&self, layout: &Layout, id: InstanceId) -> io::Result<Process> {
        let home = layout.instance(id);
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(home.join("agent.log"))?;
        // setsid(1) becomes the agent in place, because a child of ours never leads a process group: the number
        // that is known here stays the agent's.
        let mut command = Command::new("setsid");
        command.arg(&self.program).arg("--config").arg(layout.agent_config(id)).current_dir(&home);
        command.env_clear().envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.env(INSTANCE_DIR, &home);
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        let child = command.spawn()?;
        let process = i32::try_from(child.id()).ok().and_then(Process::find);
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        let process = process.ok_or_else(|| io::Error::other("the guest agent ended as soon as it was started"))?;
        Self::write_note(layout, id, process)?;
        Ok(process)
    }

    /// Takes the exit status of every agent that ended, so that no zombie stays.
    pub(super) fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

fn note(layout: &Layout, id: InstanceId) -> PathBuf {
    layout.instance(id).join("agent.json")
}

/// The program must be a file that exists when the provider is opened.
pub(super) fn check_program(program: &Path) -> io::Result<()> {
    if fs::metadata(program)?.is_file() { Ok(()) } else { Err(io::Error::other("it is not a file")) }
}
