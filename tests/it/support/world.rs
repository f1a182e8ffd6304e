//! A stack of the story's own, and what its daemons may say.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use redtrove_testkit::http::Client;
use redtrove_testkit::keystone::{TestKeystone, test_keystone};
use redtrove_testkit::logs::{self, Log};
use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::rabbitmq::{TestVhost, test_vhost};
use redtrove_testkit::stack::{Auth, Binaries, Bus, Guest, Layout, State, guests, hold, supervise};
use redtrove_testkit::{Process, Stack, StackOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::clusters::{Cluster, ask};
use super::database::Database;
use super::{raw_http, until};

/// Words of a log line at WARN or ERROR that a story brings about, and why it does.
pub(crate) type Expected<'a> = &'a [(&'a str, &'a str)];

/// A running stack. It ends with this value; a story that went well calls [`World::end`], which looks at the logs.
pub(crate) struct World {
    // Before the directory, the virtual host and the Keystone that it uses.
    stack: Option<Stack>,
    layout: Layout,
    supervisor: Option<JoinHandle<()>>,
    _vhost: Option<TestVhost>,
    _keystone: Option<TestKeystone>,
    parent: TempDir,
}

impl World {
    /// Without a broker.
    pub(crate) fn embedded(change: impl FnOnce(&mut StackOptions)) -> Self {
        Self::start(Bus::None, None, Path::new("stack"), change)
    }

    /// With a virtual host of the broker that the tests share.
    pub(crate) fn with_broker(change: impl FnOnce(&mut StackOptions)) -> Self {
        Self::with_broker_in(Path::new("stack"), change)
    }

    /// As [`World::with_broker`], in this place below a directory that only its owner may enter.
    pub(crate) fn with_broker_in(place: &Path, change: impl FnOnce(&mut StackOptions)) -> Self {
        let vhost = test_vhost().unwrap();
        Self::start(Bus::Url(vhost.url.clone()), Some(vhost), place, change)
    }

    /// With a broker that the story may stop.
    pub(crate) fn with_own_broker(change: impl FnOnce(&mut StackOptions)) -> Self {
        Self::start(Bus::RabbitMq, None, Path::new("stack"), change)
    }

    /// Without a broker, with the Keystone that the tests share.
    pub(crate) fn with_keystone(change: impl FnOnce(&mut StackOptions)) -> Self {
        let keystone = test_keystone().unwrap();
        let access = keystone.access.clone();
        let mut world = Self::embedded(|options| {
            options.auth = Auth::At(access);
            change(options);
        });
        world._keystone = Some(keystone);
        world
    }

    /// Without a broker, with a Keystone that the story may stop and whose tokens live for so long.
    pub(crate) fn with_own_keystone(token_seconds: u32, change: impl FnOnce(&mut StackOptions)) -> Self {
        Self::embedded(|options| {
            options.auth = Auth::Keystone { token_seconds };
            change(options);
        })
    }

    fn start(bus: Bus, vhost: Option<TestVhost>, place: &Path, change: impl FnOnce(&mut StackOptions)) -> Self {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let mut options = StackOptions::new(parent.path().join(place), Binaries::beside_test().unwrap());
        options.bus = bus;
        // Members are looked at every second, so that stories need not wait ten.
        options.taskmanager = json!({"taskmanager": {"agent_heartbeat_time": 1}});
        change(&mut options);
        let stack = Stack::start(&options, &|_| Ok(())).unwrap();
        let layout = stack.layout().clone();
        Self { stack: Some(stack), layout, supervisor: None, _vhost: vhost, _keystone: None, parent }
    }

    pub(crate) fn stack(&mut self) -> &mut Stack {
        self.stack.as_mut().unwrap()
    }

    /// A client of the member's project.
    pub(crate) fn client(&self) -> Client {
        self.stack.as_ref().unwrap().client()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn database(&self) -> Database {
        Database::open(&State::read(&self.layout).unwrap().description.db)
    }

    /// The stack's guests, of all clusters.
    pub(crate) fn guests(&self) -> Vec<Guest> {
        guests(self.layout.dir()).unwrap()
    }

    /// Asks for a cluster and does not wait for it.
    pub(crate) fn create(&self, name: &str, members: usize) -> Cluster {
        Cluster::create(&self.client(), name, members)
    }

    /// As [`World::create`], of redis-servers that sync every write before they acknowledge it.
    pub(crate) fn create_synced(&self, name: &str, members: usize) -> Cluster {
        self.taskmanager(&["datastore", "add", "redis", "synced", "--engine", "redis", "--set", "appendfsync=always"]);
        self.create_another_synced(name, members)
    }

    /// As [`World::create_synced`], in a world that has such a cluster.
    pub(crate) fn create_another_synced(&self, name: &str, members: usize) -> Cluster {
        let mut body = ask(name, members);
        body["cluster"]["datastore"]["version"] = "synced".into();
        Cluster::create_with(&self.client(), &body)
    }

    /// Waits until the monitor has heard from so many members that their servers run.
    pub(crate) fn wait_heard_running(&self, members: i64) {
        until("the monitor to hear the members", || {
            let running = "SELECT COUNT(*) FROM instances WHERE redis = 'running' AND silent_since IS NULL";
            self.database().number(running) == members
        });
    }

    /// A daemon's present process, also after restarts.
    pub(crate) fn daemon(&self, name: &str) -> Process {
        State::read(&self.layout).unwrap().find(name).unwrap().process
    }

    /// From now on daemons that die are started again.
    pub(crate) fn supervise(&mut self) {
        let dir = self.layout.dir().to_owned();
        self.supervisor = Some(std::thread::spawn(move || supervise(&dir, true, &|_| ()).unwrap()));
    }

    /// Runs an operator's verb and returns what it printed.
    pub(crate) fn taskmanager(&self, verb: &[&str]) -> String {
        let mut command = Command::new(Binaries::beside_test().unwrap().taskmanager);
        command.arg("--config").arg(self.layout.config("taskmanager")).args(verb).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `task list` or `task show` says, as JSON.
    pub(crate) fn tasks(&self, verb: &[&str]) -> Value {
        let verb: Vec<&str> = ["task"].iter().chain(verb).chain(&["--json"]).copied().collect();
        serde_json::from_str(&self.taskmanager(&verb)).unwrap()
    }

    /// A number that a daemon counts.
    pub(crate) fn metric(&self, daemon: &str, name: &str) -> Option<f64> {
        let url = self.stack.as_ref().unwrap().description().metrics[daemon].clone();
        let text = raw_http::get(&url)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// A daemon's log.
    pub(crate) fn log(&self, daemon: &str) -> Vec<logs::Line> {
        logs::read(&self.layout.log(daemon)).unwrap()
    }

    /// Every log there is: of daemons, and of the agents of present guests.
    pub(crate) fn logs(&self) -> Vec<Log> {
        let logs = logs::of_stack(&self.layout).unwrap();
        assert!(logs.len() >= 2, "the api and a taskmanager write logs");
        logs
    }

    /// Fails if a daemon warned of something that the story did not bring about. Agents' logs go with their guests, so
    /// a story that deletes clusters looks before, too.
    pub(crate) fn check_logs(&self, expected: Expected<'_>) {
        let words: Vec<&str> = expected.iter().map(|(words, _)| *words).collect();
        let mut unexpected = Vec::new();
        for Log { path, lines } in self.logs() {
            let complaints = logs::unexpected(&lines, &words).into_iter();
            unexpected.extend(complaints.map(|line| format!("{}: {}", path.display(), line.text)));
        }
        assert!(unexpected.is_empty(), "unexpected in the logs:\n{}", unexpected.join("\n"));
    }

    /// Looks at the logs, ends the stack, and makes sure that nothing of it is left.
    pub(crate) fn end(mut self, expected: Expected<'_>) {
        self.check_logs(expected);
        self.stop_supervisor();
        let dir = self.layout.dir().to_owned();
        self.stack.take().unwrap().end().unwrap();
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.join().unwrap();
        }
        assert!(!dir.exists() && dir.starts_with(self.parent.path().canonicalize().unwrap()));
        assert!(of_stack(&dir).is_empty());
    }

    /// Has the supervisor leave everything dead, so that nothing comes back while the stack ends.
    fn stop_supervisor(&self) {
        if self.supervisor.is_some() {
            let state = State::read(&self.layout).unwrap();
            state.daemons().for_each(|daemon| hold(self.layout.dir(), &daemon.name).unwrap());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() || self.stack.is_none() {
            return;
        }
        self.stop_supervisor();
        for log in logs::of_stack(&self.layout).unwrap_or_default() {
            show_end(&log);
        }
        drop(self.stack.take());
        // The supervisor ends when the directory is gone.
        let _ = fs::remove_dir_all(self.layout.dir());
    }
}

/// What a reader of a failed story needs of a log: all that is not at INFO, and the last lines.
fn show_end(log: &Log) {
    let last = log.lines.len().saturating_sub(6);
    eprintln!("--- {}", log.path.display());
    for (_, line) in log.lines.iter().enumerate().filter(|(n, line)| *n >= last || line.level != "INFO") {
        eprintln!("{}", line.text.chars().take(300).collect::<String>());
    }
}

/// Kills (SIGKILL) all of these before it waits for the end of any.
pub(crate) fn kill_all(processes: &[Process]) {
    for process in processes {
        process.signal(rustix::process::Signal::KILL).unwrap();
    }
    until("killed processes to be gone", || processes.iter().all(Process::is_gone));
}

/// Short leases and heartbeats, for stories in which something dies.
pub(crate) fn impatient(options: &mut StackOptions) {
    options.taskmanager = json!({"taskmanager": {"agent_heartbeat_time": 1, "lease_seconds": 6}});
}
