//! A Keystone of our own, OpenStack's real identity service, run as the calling user and wholly below one directory.
//!
//! SQLite has to be in WAL mode before the server opens it, and a uwsgi worker is a process with one thread: anything else
//! ends in "database is locked". There is one worker, since each would have a cache of its own, and one of them would
//! still know a token that is revoked. uwsgi closes every connection after its answer, so it has to say so.

mod cloud;
mod rest;
mod shared;

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

pub use cloud::{Cloud, Names};
pub use rest::{Credentials, Session};
pub use shared::{SHARED_VARIABLE, SharedKeystone, TestKeystone, test_keystone};

use crate::files::{private_dir, private_file, secret, tail, text};
use crate::install::{Package, find_program};
use crate::process::table::{STACK_DIR_VARIABLE, of_stack};
use crate::process::{Launch, Process};
use crate::stack::block::{Block, free_port};
use crate::wait::wait_for;

/// Keystone and the server it runs in.
pub const KEYSTONE: [Package; 3] = [
    Package { name: "python3-keystone", proof: &["keystone-manage", WSGI] },
    Package { name: "uwsgi-core", proof: &["uwsgi-core"] },
    Package { name: "uwsgi-plugin-python3", proof: &[UWSGI] },
];
/// Keystone's port.
const PORT: u16 = 5000;
const WSGI: &str = "/usr/bin/keystone-wsgi-public";
const UWSGI: &str = "uwsgi_python3";
// Debian's own, which Keystone runs on.
const PYTHON: &str = "/usr/bin/python3";
/// A start takes about three seconds on two idle cores.
const STARTS_WITHIN: Duration = Duration::from_secs(90);
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// How to get in as Keystone's administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// `http://address:port/v3`.
    pub auth_url: String,
    /// The password of user and project `admin`.
    pub password: String,
}

/// A Keystone that is ready to be started.
#[derive(Debug, Clone)]
pub struct Server {
    /// How to start it, any number of times.
    pub launch: Launch,
    /// How to get in.
    pub access: Access,
}

impl Server {
    /// Makes database, keys and the administrator below `dir`, which belongs to the stack in `stack_dir`. Tokens live
    /// for `token_seconds`.
    ///
    /// # Errors
    /// Keystone is not installed, or says why it cannot.
    pub fn prepare(dir: &Path, stack_dir: &Path, block: &Block, token_seconds: u32) -> Result<Self> {
        let uwsgi = program(UWSGI)?;
        let listen = SocketAddrV4::new(block.services(), free_port(block.services(), PORT)?);
        let access = Access { auth_url: format!("http://{listen}/v3"), password: secret() };
        write_files(dir, listen, token_seconds)?;
        let config = text(&dir.join("keystone.conf"))?;
        let database = text(&dir.join("keystone.db"))?;
        let stack = text(stack_dir)?;
        run(dir, &stack, &program(PYTHON)?, &["-c", WAL, &database], &[])?;
        let manage = program("keystone-manage")?;
        run(dir, &stack, &manage, &["--config-file", &config, "db_sync"], &[])?;
        let admin = [
            ("OS_BOOTSTRAP_PASSWORD", access.password.as_str()),
            ("OS_BOOTSTRAP_REGION_ID", FIRST_REGION),
            ("OS_BOOTSTRAP_PUBLIC_URL", &access.auth_url),
            ("OS_BOOTSTRAP_INTERNAL_URL", &access.auth_url),
            ("OS_BOOTSTRAP_ADMIN_URL", &access.auth_url),
        ];
        run(dir, &stack, &manage, &["--config-file", &config, "bootstrap"], &admin)?;
        let launch = Launch::new(uwsgi, dir.join("uwsgi.log"), dir)
            .arg("--ini")
            .arg(text(&dir.join("uwsgi.ini"))?)
            .env(STACK_DIR_VARIABLE, stack)
            .env("OS_KEYSTONE_CONFIG_DIR", text(dir)?)
            .env("OS_KEYSTONE_CONFIG_FILES", config);
        Ok(Self { launch, access })
    }

    /// Starts it without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self) -> Result<Process> {
        self.launch.spawn()
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It ended, with the last lines of what it said, or does not answer in time.
    pub fn wait_ready(&self, process: &Process) -> Result<()> {
        wait_for("Keystone to answer", STARTS_WITHIN, || {
            if process.is_gone() {
                bail!("Keystone ended while it started:\n{}", tail(&self.launch.log, 20));
            }
            Ok(rest::answers(&self.access.auth_url).then_some(()))
        })
    }
}

/// The region that bootstrapping makes.
pub const FIRST_REGION: &str = "RegionOne";

/// Switches a database to WAL mode, which stays.
const WAL: &str = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode=WAL')";

fn program(name: &str) -> Result<PathBuf> {
    let names: Vec<&str> = KEYSTONE.iter().map(|package| package.name).collect();
    find_program(name).with_context(|| format!("no {name} here; install the packages {}", names.join(" ")))
}

fn write_files(dir: &Path, listen: SocketAddrV4, token_seconds: u32) -> Result<()> {
    let keys = dir.join("keys");
    private_dir(&keys)?;
    for name in ["0", "1"] {
        private_file(&keys.join(name), &key())?;
    }
    let place = text(dir)?;
    let keystone = format!(
        "[DEFAULT]\nlog_file = {place}/keystone.log\nuse_stderr = false\n\
         [database]\nconnection = sqlite:///{place}/keystone.db\n\
         [identity]\npassword_hash_rounds = 4\n\
         [token]\nprovider = fernet\nexpiration = {token_seconds}\n\
         [fernet_tokens]\nkey_repository = {place}/keys\n\
         [fernet_receipts]\nkey_repository = {place}/keys\n\
         [credential]\nkey_repository = {place}/keys\n\
         [cache]\nenabled = true\nbackend = dogpile.cache.memory\n\
         [oslo_policy]\npolicy_dirs = {place}/policy.d\n"
    );
    private_file(&dir.join("keystone.conf"), &keystone)?;
    let uwsgi = format!(
        "[uwsgi]\nhttp-socket = {listen}\nplugins = python3\nwsgi-file = {WSGI}\nmaster = true\nprocesses = 1\n\
         threads = 1\nenable-threads = true\nbuffer-size = 65535\ndie-on-term = true\n\
         no-orphans = true\ndisable-logging = true\nadd-header = Connection: close\n"
    );
    private_file(&dir.join("uwsgi.ini"), &uwsgi)
}

/// Thirty-two bytes in base64, as Fernet wants them: hexadecimal digits are letters of base64 too.
fn key() -> String {
    let digits = secret() + &secret();
    format!("{}A=", digits.get(..42).unwrap_or_default())
}

/// Runs a program to its end, with these variables in its environment.
fn run(dir: &Path, stack: &str, program: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).env(STACK_DIR_VARIABLE, stack).current_dir(dir).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} {} failed ({}): {}", program.display(), args.join(" "), output.status, said.trim_end());
    }
    Ok(())
}

/// A running Keystone of one's own; it ends with this value.
#[derive(Debug)]
pub struct Keystone {
    server: Server,
    process: Process,
    dir: PathBuf,
    // Last, so that the addresses are free only when nobody listens on them any more.
    _block: Block,
}

impl Keystone {
    /// Starts one below `dir`, whose tokens live for `token_seconds`, and waits for it.
    ///
    /// # Errors
    /// See [`Server::prepare`] and [`Server::wait_ready`].
    pub fn start(dir: &Path, token_seconds: u32) -> Result<Self> {
        let block = Block::take()?;
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        let server = Server::prepare(&dir, &dir, &block, token_seconds)?;
        let process = server.spawn()?;
        let running = Self { server, process, dir, _block: block };
        running.server.wait_ready(&running.process)?;
        Ok(running)
    }

    /// How to get in.
    pub fn access(&self) -> &Access {
        &self.server.access
    }

    /// Ends it and everything it started. Twice is fine.
    ///
    /// # Errors
    /// Something does not end.
    pub fn end(&self) -> Result<()> {
        // A paused process acts on no signal but SIGKILL.
        self.process.signal(rustix::process::Signal::CONT)?;
        self.process.terminate(STOPS_WITHIN)?;
        for found in of_stack(&self.dir) {
            found.process.kill()?;
        }
        Ok(())
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        // Nobody is left to be told; the caller who wants to know calls `end` first.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests;
