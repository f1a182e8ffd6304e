//! Plain redis-servers in cluster mode, for tests and as the peer of benchmarks.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::files::{private_dir, private_file, tail};
use crate::install::find_program;
use crate::process::table::STACK_DIR_VARIABLE;
use crate::process::{Launch, Process};
use crate::wait::wait_for;

/// The port of every server, the same as in production; each has an address of its own.
pub const PORT: u16 = 6379;

/// A running redis-server; it is killed when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    address: Ipv4Addr,
    dir: PathBuf,
}

impl RedisServer {
    /// Starts a server in cluster mode on `address` with its data in `dir`, and waits until it answers.
    /// `settings` are more lines for its configuration.
    ///
    /// # Errors
    /// redis-server is missing or does not come up.
    pub fn start(dir: &Path, address: Ipv4Addr, settings: &[&str]) -> Result<Self> {
        let server = Self::spawn(dir, address, settings)?;
        server.wait_ready()?;
        Ok(server)
    }

    /// As [`RedisServer::start`], without waiting; many servers come up faster side by side.
    ///
    /// # Errors
    /// redis-server is missing or cannot be started.
    pub fn spawn(dir: &Path, address: Ipv4Addr, settings: &[&str]) -> Result<Self> {
        let program = find_program("redis-server").context("no redis-server here; install the package redis-server")?;
        private_dir(dir)?;
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        let config = dir.join("redis.conf");
        private_file(&config, &configuration(&dir, address, settings))?;
        let launch = Launch::new(program, dir.join("redis.log"), &dir)
            .arg(config.display().to_string())
            .env(STACK_DIR_VARIABLE, dir.display().to_string());
        Ok(Self { process: launch.spawn()?, address, dir })
    }

    /// Waits until the server answers.
    ///
    /// # Errors
    /// It ended, with the last lines of its log, or does not answer in time.
    pub fn wait_ready(&self) -> Result<()> {
        wait_for(&format!("redis-server on {} to answer", self.address), Duration::from_secs(20), || {
            if self.process.is_gone() {
                bail!(
                    "redis-server on {} ended while it started:\n{}",
                    self.address,
                    tail(&self.dir.join("redis.log"), 20)
                );
            }
            Ok(self.command(&["ping"]).is_ok_and(|answer| answer == "PONG").then_some(()))
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, PORT)
    }

    /// Its process.
    pub fn process(&self) -> Process {
        self.process
    }

    /// Runs a command through redis-cli and returns what it answered.
    ///
    /// # Errors
    /// redis-cli fails or the server answered with an error.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        cli(self.address(), &[], words)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.process.kill();
    }
}

/// Runs one command through redis-cli, with `options` such as `-c` for a client that follows the cluster's redirects.
///
/// # Errors
/// redis-cli is missing or fails, or the answer is a Redis error.
pub fn cli(at: SocketAddrV4, options: &[&str], words: &[&str]) -> Result<String> {
    let program = find_program("redis-cli").context("no redis-cli here; install the package redis-tools")?;
    let (ip, port) = (at.ip().to_string(), at.port().to_string());
    let mut command = Command::new(program);
    // -e: a Redis error becomes a failure instead of text that looks like a value.
    command.args(["-e", "-h", &ip, "-p", &port]).args(options).args(words).stdin(Stdio::null());
    let output = command.output().context("cannot run redis-cli")?;
    let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !output.status.success() {
        bail!("redis-cli at {at}: {answer}{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(answer)
}

/// Runs `redis-cli` with `words` alone, such as `--cluster check ADDRESS`, and returns what it said.
///
/// # Errors
/// redis-cli is missing or fails; what it said is in the error.
pub fn cluster_tool(words: &[&str]) -> Result<String> {
    let program = find_program("redis-cli").context("no redis-cli here; install the package redis-tools")?;
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().context("cannot run redis-cli")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("redis-cli {}: {said}{}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}

fn configuration(dir: &Path, address: Ipv4Addr, settings: &[&str]) -> String {
    let mut text = format!(
        "bind {address}\nport {PORT}\ndir \"{}\"\nprotected-mode no\ncluster-enabled yes\ncluster-announce-ip {address}\n\
         daemonize no\nsave \"\"\nproc-title-template \"{{title}} {{listen-addr}} {{server-mode}} {{config-file}}\"\n",
        dir.display()
    );
    for line in settings {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RedisServer, cli};
    use crate::process::table::of_stack;
    use crate::stack::block::Block;
    use crate::wait_for;

    #[test]
    fn a_server_is_found_by_its_folder_although_it_overwrote_its_environment() {
        let block = Block::take().expect("a block");
        let dir = tempfile::tempdir().expect("a directory");
        let dir_path = dir.path().canonicalize().expect("it is there");
        let server = RedisServer::start(&dir_path, block.services(), &["appendonly yes"]).expect("it starts");

        assert_eq!(server.command(&["config", "get", "appendonly"]).expect("an answer"), "appendonly\nyes");
        let found: Vec<_> = of_stack(&dir_path).into_iter().map(|found| found.process).collect();
        assert_eq!(found, vec![server.process()]);

        let refused = cli(server.address(), &["-c"], &["get", "a"]).expect_err("no slots yet");
        assert!(refused.to_string().contains("CLUSTERDOWN"), "{refused}");

        let process = server.process();
        drop(server);
        wait_for("the server to be gone", Duration::from_secs(5), || Ok(process.is_gone().then_some(())))
            .expect("gone");
        assert!(of_stack(&dir_path).is_empty());
    }
}
