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

/// A running MariaDB; it is killed when this is dropped.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    port: u16,
    password: String,
    socket: PathBuf,
}

impl MariaDb {
    /// Makes a server's data in `dir`, starts it on a free port of 127.0.0.1 and waits until it answers.
    ///
    /// # Errors
    /// The package mariadb-server is missing or the server does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        private_dir(dir)?;
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        let config = write_config(&dir)?;
        make_data(&dir, &config)?;
        let program = program("mariadbd")?;
        let port = free_port(Ipv4Addr::LOCALHOST, 0)?;
        let launch = Launch::new(program, dir.join("mariadbd.log"), &dir)
            .arg(format!("--defaults-file={}", text(&config)?))
            .arg(format!("--port={port}"))
            .env(STACK_DIR_VARIABLE, text(&dir)?);
        let server = Self { process: launch.spawn()?, port, password: secret(), socket: dir.join("sock") };
        server.wait_ready(&dir)?;
        server.run(&format!(
            "CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{0}'; GRANT ALL ON *.* TO {USER}@'127.0.0.1'; \
             ALTER USER root@localhost IDENTIFIED VIA unix_socket",
            server.password
        ))?;
        Ok(server)
    }

    fn wait_ready(&self, dir: &Path) -> Result<()> {
        wait_for("mariadbd to answer", Duration::from_secs(60), || {
            if self.process.is_gone() {
                bail!("mariadbd ended while it started:\n{}", tail(&dir.join("mariadbd.log"), 20));
            }
            Ok(self.run("SELECT 1").ok())
        })
    }

    /// Makes an empty database and returns its address: `mysql://user:password@127.0.0.1:port/name`.
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
        Ok(format!("mysql://{USER}:{}@127.0.0.1:{}/{name}", self.password, self.port))
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.process
    }

    /// Runs statements as the server's root, through its socket.
    fn run(&self, sql: &str) -> Result<()> {
        let mut command = Command::new(program("mariadb")?);
        command.args(["--no-defaults", "--user=root", "--batch"]).arg(format!("--socket={}", text(&self.socket)?));
        finish(command, "mariadb", sql)
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

/// Sync is off and memory is small: the data lives as long as a test. The folder for temporary tables is its own, as a
/// server that starts empties it, and with /tmp the tables of its neighbours would go.
fn write_config(dir: &Path) -> Result<PathBuf> {
    let config = dir.join("my.cnf");
    let user = if rustix::process::geteuid().is_root() { "user=root\n" } else { "" };
    let place = text(dir)?;
    private_dir(&dir.join("tmp"))?;
    let settings = format!(
        "[mysqld]\n{user}datadir={place}/data\ntmpdir={place}/tmp\nsocket={place}/sock\n\
         pid-file={place}/pid\nbind-address=127.0.0.1\nskip-name-resolve\nskip-log-bin\nperformance-schema=OFF\nmax-connections=500\n\
         innodb-flush-log-at-trx-commit=0\ninnodb-doublewrite=OFF\ninnodb-buffer-pool-size=64M\n\
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
