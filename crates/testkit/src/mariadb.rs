//! A private MariaDB for tests: its own data, socket, port and password, gone with its directory.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::files::{private_dir, private_file, secret, tail, text};
use crate::install::{Package, find_program};
use crate::process::table::STACK_DIR_VARIABLE;
use crate::process::{Launch, Process};
use crate::stack::block::free_port;
use crate::wait::wait_for;

/// The database server, its client and what makes its system tables.
pub const MARIADB: Package = Package { name: "mariadb-server", proof: &["mariadbd", "mariadb", "mariadb-install-db"] };

/// The user of all databases.
const USER: &str = "redtrove";

/// How long a server may take to make its tables, and to answer after a start.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// What a server keeps when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Perhaps not the last second: for tests that do not kill it, and are faster so.
    Loose,
    /// Everything that it said it had committed, also when it is killed (SIGKILL); not when the machine is.
    Killed,
}

/// A server that is ready to be started, any number of times, on the same data.
#[derive(Debug, Clone)]
pub struct Server {
    /// How to start it.
    pub launch: Launch,
    address: Ipv4Addr,
    port: u16,
    password: String,
    socket: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Makes a server's data in `dir`. It is to listen on a free port of `address` and belongs to the stack in
    /// `stack_dir`.
    ///
    /// # Errors
    /// The package mariadb-server is missing, or the data cannot be made.
    pub fn prepare(dir: &Path, stack_dir: &Path, address: Ipv4Addr, durability: Durability) -> Result<Self> {
        private_dir(dir)?;
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        let config = write_config(&dir, address, durability)?;
        make_data(&dir, &config)?;
        let port = free_port(address, 0)?;
        let log = dir.join("mariadbd.log");
        let launch = Launch::new(program("mariadbd")?, &log, &dir)
            .arg(format!("--defaults-file={}", text(&config)?))
            .arg(format!("--port={port}"))
            .env(STACK_DIR_VARIABLE, text(stack_dir)?);
        Ok(Self { launch, address, port, password: secret(), socket: dir.join("sock"), log })
    }

    /// Waits until `process`, which was started as [`Server::launch`] says, answers.
    ///
    /// # Errors
    /// It ended, with the last lines of what it said, or does not answer in time.
    pub fn wait_ready(&self, process: &Process) -> Result<()> {
        wait_for("mariadbd to answer", ANSWERS_WITHIN, || {
            if process.is_gone() {
                bail!("mariadbd ended while it started:\n{}", tail(&self.log, 20));
            }
            Ok(self.run("SELECT 1").ok())
        })
    }

    /// Makes the user of all databases; once, while the server runs.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_user(&self) -> Result<()> {
        // Whoever connects from loopback comes from 127.0.0.1, also to another of its addresses.
        self.run(&format!(
            "CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{0}'; GRANT ALL ON *.* TO {USER}@'127.0.0.1'; \
             ALTER USER root@localhost IDENTIFIED VIA unix_socket",
            self.password
        ))
    }

    /// Makes an empty database and returns its address: `mysql://user:password@address:port/name`.
    /// `name` consists of letters, digits and `_`.
    ///
    /// # Errors
    /// There is such a database, or the name is none.
    pub fn database(&self, name: &str) -> Result<String> {
        anyhow::ensure!(
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "'{name}' cannot be the name of a database"
        );
        self.run(&format!("CREATE DATABASE {name}"))?;
        Ok(format!("mysql://{USER}:{}@{}:{}/{name}", self.password, self.address, self.port))
    }

    /// Runs statements as the server's root, through its socket.
    fn run(&self, sql: &str) -> Result<()> {
        let mut command = Command::new(program("mariadb")?);
        command.args(["--no-defaults", "--user=root", "--batch"]).arg(format!("--socket={}", text(&self.socket)?));
        finish(command, "mariadb", sql)
    }
}

/// A running MariaDB; it is killed when this is dropped.
#[derive(Debug)]
pub struct MariaDb {
    server: Server,
    process: Process,
}

impl MariaDb {
    /// Makes a server's data in `dir`, starts it on a free port of 127.0.0.1 and waits until it answers.
    ///
    /// # Errors
    /// The package mariadb-server is missing or the server does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        private_dir(dir)?;
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        let server = Server::prepare(&dir, &dir, Ipv4Addr::LOCALHOST, Durability::Loose)?;
        let process = server.launch.spawn()?;
        let running = Self { server, process };
        running.server.wait_ready(&process)?;
        running.server.create_user()?;
        Ok(running)
    }

    /// As [`Server::database`].
    ///
    /// # Errors
    /// As there.
    pub fn database(&self, name: &str) -> Result<String> {
        self.server.database(name)
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.process
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // Nobody is left to be told; its data goes with the directory.
        let _ = self.process.kill();
    }
}

fn program(name: &str) -> Result<PathBuf> {
    find_program(name).with_context(|| format!("no {name} here; install the package {}", MARIADB.name))
}

/// Nothing is synced to the disk and memory is small: the data lives as long as a test, and the machine does not fail in
/// it. The folder for temporary tables is its own, as a server that starts empties it, and with /tmp the tables of its
/// neighbours would go.
fn write_config(dir: &Path, address: Ipv4Addr, durability: Durability) -> Result<PathBuf> {
    let config = dir.join("my.cnf");
    let user = if rustix::process::geteuid().is_root() { "user=root\n" } else { "" };
    let place = text(dir)?;
    private_dir(&dir.join("tmp"))?;
    // With 2, what is committed is the kernel's before anybody hears of it.
    let (at_commit, doublewrite) = match durability {
        Durability::Loose => (0, "OFF"),
        Durability::Killed => (2, "ON"),
    };
    let settings = format!(
        "[mysqld]\n{user}datadir={place}/data\ntmpdir={place}/tmp\nsocket={place}/sock\n\
         pid-file={place}/pid\nbind-address={address}\nskip-name-resolve\nskip-log-bin\nperformance-schema=OFF\nmax-connections=500\n\
         innodb-flush-log-at-trx-commit={at_commit}\ninnodb-doublewrite={doublewrite}\ninnodb-buffer-pool-size=64M\n\
         innodb-log-file-size=16M\nlc-messages-dir=/usr/share/mysql\n"
    );
    private_file(&config, &settings)?;
    Ok(config)
}

fn make_data(dir: &Path, config: &Path) -> Result<()> {
    let mut command = Command::new(program("mariadb-install-db")?);
    command.arg(format!("--defaults-file={}", text(config)?)).current_dir(dir).args([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    finish(command, "mariadb-install-db", "")
}

/// Runs a program with this on its standard input, so that no password is on its command line.
fn finish(mut command: Command, name: &str, input: &str) -> Result<()> {
    use std::io::Write as _;

    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended early says why by its status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{name} failed: {} {}", err.trim_end(), out.trim_end());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_makes_databases_and_ends_with_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        let server = MariaDb::start(dir.path()).unwrap();
        let address = server.database("orders_1").unwrap();
        assert!(address.starts_with("mysql://redtrove:") && address.ends_with("/orders_1"));
        assert!(server.database("orders_1").is_err(), "it is there");
        assert!(server.database("x; DROP DATABASE orders_1").is_err());
        let process = server.process();
        drop(server);
        assert!(process.is_gone());
    }
}
