//! The stack that cells are run on: two of everything on MariaDB and RabbitMQ, with short leases and timeouts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use redtrove_core::{ClusterId, InstanceId, ProjectId};
use redtrove_engine::ports::{Store, StoreError};
use redtrove_engine::task::{StepRecord, Task, TaskKind};
use redtrove_testkit::http::Client;
use redtrove_testkit::logs;
use redtrove_testkit::stack::{Binaries, Bus, Db, Guest, Layout, State, guests, hold, supervise};
use redtrove_testkit::{Process, Stack, StackOptions, wait_for};
use serde_json::json;
use tokio::runtime::Runtime;

/// The datastore version whose servers sync every write before they acknowledge it.
pub(crate) const SYNCED: &str = "synced";
/// The datastore version whose servers sync once a second, as is the product's default.
pub(crate) const EVERY_SECOND: &str = "every-second";
/// What a daemon says at ERROR of a database that is away as it starts, or as it connects: rightly, and then it is
/// started again, or asks again.
const DATABASE_AWAY: [&str; 2] = ["ends: the database cannot be used: ", "error returned from after_connect"];
/// When a node holds another for failed, milliseconds.
const NODE_TIMEOUT: &str = "1000";
/// For one question to the database on a busy machine.
const ASKED_WITHIN: Duration = Duration::from_secs(20);
/// The same for whoever has something else to do while the database may be dead.
const ASKED_BRIEFLY: Duration = Duration::from_secs(2);

/// A running stack and what looks at it from outside.
pub(crate) struct Bed {
    stack: Option<Stack>,
    layout: Layout,
    supervisor: Option<JoinHandle<Result<()>>>,
    clients: Vec<Client>,
    taskmanager: std::path::PathBuf,
    pub(crate) runtime: Runtime,
    store: Arc<dyn Store>,
    /// Lines at ERROR that were rightly written.
    forgiven: Mutex<BTreeSet<String>>,
}

impl Bed {
    /// Starts a stack in `dir`, which is made, and waits until it serves.
    pub(crate) fn start(dir: &Path, binaries: &Binaries) -> Result<Self> {
        let mut options = StackOptions::new(dir, binaries.clone());
        options.bus = Bus::RabbitMq;
        options.db = Db::MariaDb;
        options.apis = 2;
        options.taskmanagers = 2;
        options.api = json!({
            "api": {"cluster_usage_timeout": 60, "agent_call_low_timeout": 6},
            "status": {"agent_heartbeat_expiry": 3},
        });
        options.taskmanager = json!({"taskmanager": {
            "lease_seconds": 2,
            "agent_heartbeat_time": 1,
            "agent_call_low_timeout": 3,
            "agent_call_high_timeout": 3,
            "usage_timeout": 45,
            "deleted_machine_grace": 1,
        }});
        let stack = Stack::start(&options, &|_| Ok(()))?;
        let layout = stack.layout().clone();
        let clients = stack.clients();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let store = runtime.block_on(redtrove_store::connect(&stack.description().db))?;
        let taskmanager = binaries.taskmanager.clone();
        let mut bed = Self {
            stack: Some(stack),
            layout,
            supervisor: None,
            clients,
            taskmanager,
            runtime,
            store,
            forgiven: Mutex::default(),
        };
        for (version, fsync) in [(SYNCED, "always"), (EVERY_SECOND, "everysec")] {
            let (fsync, timeout) = (format!("appendfsync={fsync}"), format!("cluster-node-timeout={NODE_TIMEOUT}"));
            bed.operate(&[
                "datastore",
                "add",
                "redis",
                version,
                "--engine",
                "redis",
                "--set",
                &fsync,
                "--set",
                &timeout,
            ])?;
        }
        let watched = bed.layout.dir().to_owned();
        bed.supervisor = Some(std::thread::spawn(move || supervise(&watched, true, &|_| ())));
        Ok(bed)
    }

    /// Runs an operator's verb and returns what it printed; a failure carries what it said.
    pub(crate) fn operate(&self, verb: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.taskmanager);
        command.arg("--config").arg(self.layout.config("taskmanager")).args(verb).stdin(Stdio::null());
        let output = command.output().context("cannot run redtrove-taskmanager")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{verb:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        Ok(said)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The n-th API, from 0.
    pub(crate) fn api(&self, n: usize) -> Result<&Client> {
        self.clients.get(n).context("there are two APIs")
    }

    /// A daemon's present process, also after restarts.
    pub(crate) fn daemon(&self, name: &str) -> Result<Process> {
        Ok(State::read(&self.layout)?.find(name)?.process)
    }

    /// The guests that are there now.
    pub(crate) fn guests(&self) -> Result<Vec<Guest>> {
        guests(self.layout.dir())
    }

    /// The guest of an instance, if its machine is there.
    pub(crate) fn guest(&self, instance: InstanceId) -> Result<Option<Guest>> {
        let id = instance.to_string();
        Ok(self.guests()?.into_iter().find(|guest| guest.id == id))
    }

    /// The tenant's project.
    pub(crate) fn project(&self) -> Result<ProjectId> {
        let stack = self.stack.as_ref().context("the stack has ended")?;
        Ok(stack.description().project_id.parse()?)
    }

    /// Where the broker is.
    pub(crate) fn broker_url(&self) -> Result<String> {
        let stack = self.stack.as_ref().context("the stack has ended")?;
        stack.description().amqp.clone().context("the stack has a broker")
    }

    /// Asks the database; a dead one is an error, after a while.
    pub(crate) fn ask<T>(&self, question: impl AsyncFnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T> {
        self.ask_within(ASKED_WITHIN, question)
    }

    fn ask_within<T>(
        &self,
        within: Duration,
        question: impl AsyncFnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T> {
        let answer = async { tokio::time::timeout(within, question(&*self.store)).await };
        let answer = self.runtime.block_on(answer).map_err(|_| anyhow!("the database does not answer"))?;
        answer.context("the database does not answer")
    }

    /// The newest task of this kind on a cluster.
    pub(crate) fn task(&self, cluster: ClusterId, kind: TaskKind) -> Result<Option<Task>> {
        self.task_within(ASKED_WITHIN, cluster, kind)
    }

    /// The same, unless the database keeps one waiting: it may be dead.
    pub(crate) fn task_briefly(&self, cluster: ClusterId, kind: TaskKind) -> Result<Option<Task>> {
        self.task_within(ASKED_BRIEFLY, cluster, kind)
    }

    fn task_within(&self, within: Duration, cluster: ClusterId, kind: TaskKind) -> Result<Option<Task>> {
        let tasks = self.ask_within(within, async |store| store.tasks(Some(cluster), 10).await)?;
        Ok(tasks.into_iter().find(|task| task.kind == kind))
    }

    /// The step log of a task.
    pub(crate) fn steps(&self, task: &Task) -> Result<Vec<StepRecord>> {
        self.ask(async |store| store.steps(task.id).await)
    }

    /// Lines at ERROR and panics in the logs of the daemons and of the agents of present guests, except those about a
    /// database that was away, if it was: these are forgiven from then on.
    pub(crate) fn errors(&self, had_no_database: bool) -> Result<Vec<String>> {
        let mut errors = Vec::new();
        let mut forgiven = self.forgiven.lock().unwrap_or_else(PoisonError::into_inner);
        for log in logs::of_stack(&self.layout)? {
            let lines = log.lines.iter();
            let bad = lines.filter(|line| line.level == "ERROR" || line.text.contains("panicked"));
            for line in bad.map(|line| format!("{}: {}", log.path.display(), line.text)) {
                if had_no_database && DATABASE_AWAY.iter().any(|words| line.contains(words)) {
                    forgiven.insert(line);
                } else if !forgiven.contains(&line) {
                    errors.push(line);
                }
            }
        }
        Ok(errors)
    }

    /// Ends the stack; of one that failed the files stay.
    pub(crate) fn end(mut self, keep_files: bool) -> Result<()> {
        for daemon in State::read(&self.layout)?.daemons() {
            if keep_files {
                // Whatever state it is in: nothing of it is needed any more.
                fs::write(self.layout.held(&daemon.name), "")?;
            } else {
                hold(self.layout.dir(), &daemon.name)?;
            }
        }
        let dir = self.layout.dir().to_owned();
        let stack = self.stack.take().context("the stack has ended")?;
        if keep_files {
            drop(stack);
            // The supervisor ends when the directory is no stack any more.
            fs::rename(&dir, dir.with_extension("failed"))?;
        } else {
            stack.end()?;
        }
        match self.supervisor.take().map(JoinHandle::join) {
            Some(Err(_)) => bail!("the supervisor broke"),
            _ => Ok(()),
        }
    }

    /// Waits until the APIs answer.
    pub(crate) fn wait_up(&self) -> Result<()> {
        wait_for("both APIs to serve", Duration::from_secs(60), || {
            let serves = |api: &Client| api.get("/clusters").is_ok_and(|answer| answer.status == 200);
            Ok(self.clients.iter().all(serves).then_some(()))
        })
    }
}
