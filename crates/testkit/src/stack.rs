//! A private redtrove: our three daemons, a database, a broker, all below one directory.

mod auth;
pub mod block;
mod config;
mod description;
mod end;
mod guests;
mod layout;
mod supervise;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

pub use auth::Auth;
pub use config::quoted;
pub use description::{Description, Grpc};
pub use end::{end, end_processes};
pub use guests::{Guest, guests};
pub use layout::Layout;
pub use supervise::{Daemon, State, hold, release, supervise};

use crate::files::{private_dir, private_file, tail, text};
use crate::http::Client;
use crate::keystone::Cloud;
use crate::mariadb::{Durability, Server};
use crate::process::table::STACK_DIR_VARIABLE;
use crate::process::{Launch, Process};
use crate::rabbitmq::Broker;
use crate::wait::{wait_for, wait_until_well};
use block::Block;

/// How long the API may take until it answers.
const API_ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// The virtual host of a stack's own broker.
const VHOST: &str = "redtrove";
/// The database in a stack's own MariaDB.
const DATABASE: &str = "redtrove";

/// Our three programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// redtrove-api.
    pub api: PathBuf,
    /// redtrove-taskmanager.
    pub taskmanager: PathBuf,
    /// redtrove-guestagent.
    pub guestagent: PathBuf,
}

impl Binaries {
    /// The programs in this directory, such as `target/debug`.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn within(dir: &Path) -> Result<Self> {
        let find = |name: &str| {
            let path = dir.join(name);
            ensure!(path.is_file(), "no {}; build it with cargo build", path.display());
            Ok(path)
        };
        let (api, taskmanager) = (find("redtrove-api")?, find("redtrove-taskmanager")?);
        Ok(Self { api, taskmanager, guestagent: find("redtrove-guestagent")? })
    }

    /// The programs of the build that the running test belongs to.
    ///
    /// # Errors
    /// One of them was not built.
    pub fn beside_test() -> Result<Self> {
        let test = std::env::current_exe().context("a test does not know its own program")?;
        // target/debug/deps/<test>
        let dir = test.parent().and_then(Path::parent).context("the test's program has no place")?;
        Self::within(dir)
    }
}

/// What carries the wake-ups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// A RabbitMQ of the stack's own.
    RabbitMq,
    /// Nothing: the sweeper alone drives the work.
    None,
    /// A virtual host of a broker that runs already.
    Url(String),
}

/// Where clusters, instances and tasks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Db {
    /// A file of the stack's.
    #[default]
    Sqlite,
    /// A MariaDB of the stack's own, which keeps what it committed when it is killed.
    MariaDb,
}

/// What kind of stack.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Where it lives; made if it is missing, and it must be empty.
    pub dir: PathBuf,
    /// The programs it runs.
    pub binaries: Binaries,
    /// What carries the wake-ups.
    pub bus: Bus,
    /// Where rows are kept.
    pub db: Db,
    /// Where a MariaDB of the stack's own has its files, if not in the stack's directory; made if it is missing.
    pub mariadb_dir: Option<PathBuf>,
    /// Who checks tokens.
    pub auth: Auth,
    /// How many APIs, at least one, each with a port of its own.
    pub apis: usize,
    /// How many taskmanagers, at least one.
    pub taskmanagers: usize,
    /// Laid over every API's configuration, table by table.
    pub api: Value,
    /// Laid over every taskmanager's configuration, table by table.
    pub taskmanager: Value,
    /// The program that lists guests when it is called with `guests --dir DIR`.
    pub lister: String,
}

impl StackOptions {
    /// An embedded stack with one taskmanager.
    pub fn new(dir: impl Into<PathBuf>, binaries: Binaries) -> Self {
        let (api, taskmanager) = (Value::Null, Value::Null);
        let lister = "cargo xtask".to_owned();
        let (bus, db, auth) = (Bus::None, Db::Sqlite, Auth::Static);
        let (dir, mariadb_dir) = (dir.into(), None);
        Self { dir, binaries, bus, db, mariadb_dir, auth, apis: 1, taskmanagers: 1, api, taskmanager, lister }
    }
}

/// Who may speak to the API: a project of the user's, another one, and an administrator's.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The member that [`Description`] names.
    pub member: Token,
    /// A reader of the same project, and nothing more.
    pub reader: Token,
    /// A member of another project.
    pub other: Token,
    /// An administrator.
    pub admin: Token,
}

/// A token and the project it is for.
#[derive(Debug, Clone)]
pub struct Token {
    /// The value of `X-Auth-Token`.
    pub token: String,
    /// The project in the URL.
    pub project_id: String,
}

/// A running stack; it ends with this value, unless it was handed over to a supervisor.
#[derive(Debug)]
pub struct Stack {
    layout: Layout,
    state: State,
    tokens: Tokens,
    cloud: Option<Cloud>,
    handed_over: bool,
    // Last, so that the addresses are free only when nothing listens on them any more.
    block: Block,
}

impl Stack {
    /// Starts everything and returns when the API answers. `progress` is told each step in a few
    /// words, and an error of its own ends the start.
    ///
    /// # Errors
    /// The directory is in use or something does not start; what had started is ended, its logs stay.
    pub fn start(options: &StackOptions, progress: &dyn Fn(&str) -> Result<()>) -> Result<Self> {
        let layout = Layout::create(&options.dir)?;
        let block = Block::take()?;
        let tokens = Tokens::random();
        let state = State::new(config::description(&layout, &block, &tokens, options)?);
        let mut stack = Self { layout, state, tokens, cloud: None, handed_over: false, block };
        stack.start_all(options, progress)?;
        Ok(stack)
    }

    fn start_all(&mut self, options: &StackOptions, progress: &dyn Fn(&str) -> Result<()>) -> Result<()> {
        progress(&format!("addresses {} in {}", self.block.cidr(), self.layout.dir().display()))?;
        let broker = self.start_bus(&options.bus, progress)?;
        self.start_database(options, progress)?;
        self.start_auth(&options.auth, progress)?;
        let auth = auth::section(&self.layout, &self.tokens, self.cloud.as_ref())?;
        config::write(&self.layout, &self.block, options, &auth, &mut self.state.description)?;
        progress("certificates, database and datastore")?;
        self.prepare(&options.binaries.taskmanager)?;
        if let Some((broker, process)) = broker {
            progress("waiting for RabbitMQ")?;
            broker.wait_ready(&process)?;
            self.state.add("rabbitmq", broker.launch, process);
        }
        progress(&format!("{} taskmanagers and {} APIs", options.taskmanagers.max(1), options.apis.max(1)))?;
        for n in 1..=options.taskmanagers.max(1) {
            let name = config::taskmanager_name(n);
            self.spawn(&name, &options.binaries.taskmanager)?;
        }
        for n in 1..=options.apis.max(1) {
            self.spawn(&config::api_name(n), &options.binaries.api)?;
        }
        self.wait_for_apis()?;
        self.state.save(&self.layout)
    }

    fn start_bus(&mut self, bus: &Bus, progress: &dyn Fn(&str) -> Result<()>) -> Result<Option<(Broker, Process)>> {
        let url = match bus {
            Bus::None => return Ok(None),
            Bus::Url(url) => url.clone(),
            Bus::RabbitMq => {
                progress("starting RabbitMQ")?;
                let dir = self.layout.dir().join("rabbitmq");
                private_dir(&dir)?;
                let broker = Broker::prepare(&dir, self.layout.dir(), &self.block, &[VHOST.to_owned()])?;
                private_file(&self.layout.bus_url(), &format!("{}/{VHOST}", broker.url))?;
                self.state.description.amqp = Some(format!("{}/{VHOST}", broker.url));
                let process = broker.spawn()?;
                return Ok(Some((broker, process)));
            }
        };
        private_file(&self.layout.bus_url(), &url)?;
        self.state.description.amqp = Some(url);
        Ok(None)
    }

    fn start_database(&mut self, options: &StackOptions, progress: &dyn Fn(&str) -> Result<()>) -> Result<()> {
        if options.db == Db::Sqlite {
            return Ok(());
        }
        progress("starting MariaDB")?;
        let dir = options.mariadb_dir.clone().unwrap_or_else(|| self.layout.dir().join("mariadb"));
        let server = Server::prepare(&dir, self.layout.dir(), self.block.services(), Durability::Killed)?;
        let process = server.launch.spawn()?;
        server.wait_ready(&process)?;
        server.create_user()?;
        self.state.description.db = server.database(DATABASE)?;
        private_file(&self.layout.database_url(), &self.state.description.db)?;
        self.state.add("mariadb", server.launch, process);
        Ok(())
    }

    fn start_auth(&mut self, auth: &Auth, progress: &dyn Fn(&str) -> Result<()>) -> Result<()> {
        let api = &self.state.description.api;
        let (started, cloud) = auth::start(auth, &self.layout, &self.block, api, progress)?;
        if let Some((server, process)) = started {
            self.state.add("keystone", server.launch, process);
        }
        if let Some(cloud) = &cloud {
            self.tokens = Tokens::of(cloud)?;
            let description = &mut self.state.description;
            description.token = self.tokens.member.token.clone();
            description.project_id = self.tokens.member.project_id.clone();
            description.keystone = Some(cloud.member.clone());
        }
        self.cloud = cloud;
        Ok(())
    }

    /// The operator's verbs that come before the first start.
    fn prepare(&self, taskmanager: &Path) -> Result<()> {
        let pki = text(&self.layout.pki())?;
        let config = text(&self.layout.config(&config::taskmanager_name(1)))?;
        let run = |args: &[&str]| self.operate(taskmanager, args);
        run(&["pki", "init", "--directory", &pki])?;
        for role in ["control", "reader"] {
            run(&["pki", "issue", "--role", role, "--directory", &pki, "--out-dir", &pki])?;
        }
        run(&["--config", &config, "db", "migrate"])?;
        run(&["--config", &config, "datastore", "add", "redis", "7.0", "--engine", "redis", "--default"])
    }

    fn operate(&self, taskmanager: &Path, args: &[&str]) -> Result<()> {
        let mut command = Command::new(taskmanager);
        command.args(args).current_dir(self.layout.dir()).stdin(Stdio::null());
        command.env(STACK_DIR_VARIABLE, self.layout.dir()).env_remove("REDTROVE_CONFIG");
        let output = command.output().with_context(|| format!("cannot run {}", taskmanager.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("redtrove-taskmanager {} failed ({}): {}", args.join(" "), output.status, said.trim_end());
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, program: &Path) -> Result<()> {
        let launch = Launch::new(program, self.layout.log(name), self.layout.dir())
            .arg("--config")
            .arg(text(&self.layout.config(name))?)
            .env(STACK_DIR_VARIABLE, text(self.layout.dir())?);
        let process = launch.spawn()?;
        self.state.add(name, launch, process);
        Ok(())
    }

    fn wait_for_apis(&self) -> Result<()> {
        for api in &self.state.description.apis {
            let client = Client::new(api.clone(), "");
            wait_for("the API to answer", API_ANSWERS_WITHIN, || {
                if let Some(dead) = self.state.daemons().find(|daemon| daemon.process.is_gone()) {
                    bail!("{} ended while it started:\n{}", dead.name, tail(&dead.launch.log, 20));
                }
                Ok(client.get("/").is_ok_and(|answer| answer.status == 200).then_some(()))
            })?;
        }
        // The taskmanager publishes what can be had; before that the API has to refuse every create.
        let member = self.client();
        wait_until_well("the taskmanager to publish its flavors", API_ANSWERS_WITHIN, || {
            let flavors = member.get("/flavors")?.expect_status(200)?;
            flavors.pointer("/flavors/0").map(drop).context("there is none")
        })
    }

    /// What clients need to know.
    pub fn description(&self) -> &Description {
        &self.state.description
    }

    /// Where everything is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Who may speak to the API.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Who is who in Keystone; none with static tokens.
    pub fn cloud(&self) -> Option<&Cloud> {
        self.cloud.as_ref()
    }

    /// A client of the member's project.
    pub fn client(&self) -> Client {
        self.client_of(&self.tokens.member)
    }

    /// A client with one of the stack's tokens.
    pub fn client_of(&self, token: &Token) -> Client {
        self.state.description.client_with(&token.token, &token.project_id)
    }

    /// A client of the member's project for each API, in their order.
    pub fn clients(&self) -> Vec<Client> {
        self.state.description.clients()
    }

    /// A daemon's process: `api`, `api-2`, `taskmanager`, `taskmanager-2`, `mariadb`, `rabbitmq`, `keystone`.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn daemon(&self, name: &str) -> Result<Process> {
        Ok(self.state.find(name)?.process)
    }

    /// Starts a daemon again that has ended.
    ///
    /// # Errors
    /// There is none of this name, it still runs, or it cannot be started.
    pub fn start_again(&mut self, name: &str) -> Result<Process> {
        let process = self.state.start_again(name)?;
        self.state.save(&self.layout)?;
        Ok(process)
    }

    /// Leaves the stack to a supervisor, which `launch` starts and which inherits the lock of the address block.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn hand_over(mut self, launch: &Launch) -> Result<Description> {
        self.state.save(&self.layout)?;
        let launch = launch.clone().env(STACK_DIR_VARIABLE, text(self.layout.dir())?);
        let supervisor = launch.spawn_with_stdin(self.block.share()?)?;
        self.handed_over = true;
        self.state.description.pids.insert("supervisor".to_owned(), supervisor.pid);
        Ok(self.state.description.clone())
    }

    /// Ends everything and removes the directory.
    ///
    /// # Errors
    /// Something does not end.
    pub fn end(mut self) -> Result<()> {
        self.handed_over = true;
        end(self.layout.dir())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.handed_over {
            // A test that failed wants its logs: processes end, files stay. Nobody is left to be told of an error.
            let _ = end_processes(self.layout.dir());
        }
    }
}
