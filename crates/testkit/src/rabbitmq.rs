//! A RabbitMQ of our own, run as the calling user and wholly below one directory.
//!
//! The server script proper is started, never the wrapper in /usr/sbin, which switches to a user of the
//! distribution's. The broker has its own cookie (HOME), node name, epmd and ports, all on loopback, and reads its
//! user, password and virtual hosts from a definitions file, so that nobody has to call rabbitmqctl.

mod shared;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use shared::{SHARED_VARIABLE, SharedBroker, TestVhost, test_vhost};

use crate::files::{private_dir, private_file, secret, tail, text};
use crate::process::table::{STACK_DIR_VARIABLE, of_stack};
use crate::process::{Launch, Process};
use crate::stack::block::{Block, free_port};
use crate::wait::wait_for;

/// The server script, which does not switch users.
pub const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// A boot takes about five seconds on two idle cores.
const BOOTS_WITHIN: Duration = Duration::from_secs(90);
/// A clean stop takes about two seconds.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// A broker that is ready to be started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Broker {
    /// How to start it, any number of times.
    pub launch: Launch,
    /// Where it listens.
    pub listen: SocketAddrV4,
    /// `amqp://user:password@address:port`, without a virtual host.
    pub url: String,
}

impl Broker {
    /// Writes everything a broker needs below `dir`, which belongs to the stack in `stack_dir`.
    ///
    /// # Errors
    /// RabbitMQ is not installed or a file cannot be written.
    pub fn prepare(dir: &Path, stack_dir: &Path, block: &Block, vhosts: &[String]) -> Result<Self> {
        if !Path::new(SERVER).is_file() {
            bail!("no RabbitMQ here ({SERVER}); install the package rabbitmq-server");
        }
        let home = dir.join("home");
        private_dir(&home)?;
        let listen = SocketAddrV4::new(block.services(), free_port(block.services(), 5672)?);
        let (user, password) = (format!("u{}", secret()), secret());
        private_file(&dir.join("definitions.json"), &definitions(&user, &password, vhosts).to_string())?;
        private_file(&dir.join("rabbitmq.conf"), &configuration(dir, listen))?;
        private_file(&dir.join("enabled_plugins"), "[].\n")?;
        let launch = launch(dir, stack_dir, block)?;
        Ok(Self { launch, listen, url: format!("amqp://{user}:{password}@{listen}") })
    }

    /// Starts the broker without waiting for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self) -> Result<Process> {
        self.launch.spawn()
    }

    /// Waits until the broker speaks AMQP.
    ///
    /// # Errors
    /// It ended, with the last lines of what it said, or does not come up in time.
    pub fn wait_ready(&self, process: &Process) -> Result<()> {
        wait_for("RabbitMQ to speak AMQP", BOOTS_WITHIN, || {
            if process.is_gone() {
                bail!("RabbitMQ ended while it started:\n{}", tail(&self.launch.log, 30));
            }
            Ok(speaks_amqp(self.listen).then_some(()))
        })
    }
}

/// Ends what a broker leaves running: epmd outlives it on purpose.
///
/// # Errors
/// It does not end.
pub fn end_epmd(stack_dir: &Path) -> Result<()> {
    for found in of_stack(stack_dir).iter().filter(|found| found.name == "epmd") {
        found.process.terminate(Duration::from_secs(5))?;
    }
    Ok(())
}

/// A running broker of one's own; it ends with this value.
#[derive(Debug)]
pub struct RabbitMq {
    broker: Broker,
    process: Process,
    dir: PathBuf,
    // Last, so that the addresses are free only when nobody listens on them any more.
    _block: Block,
}

impl RabbitMq {
    /// Starts a broker below `dir` with these virtual hosts and waits for it.
    ///
    /// # Errors
    /// See [`Broker::prepare`] and [`Broker::wait_ready`].
    pub fn start(dir: &Path, vhosts: &[String]) -> Result<Self> {
        let block = Block::take()?;
        let dir = dir.canonicalize().with_context(|| format!("no directory {}", dir.display()))?;
        let broker = Broker::prepare(&dir, &dir, &block, vhosts)?;
        let process = broker.spawn()?;
        let running = Self { broker, process, dir, _block: block };
        running.broker.wait_ready(&running.process)?;
        Ok(running)
    }

    /// `amqp://user:password@address:port/vhost`.
    pub fn url(&self, vhost: &str) -> String {
        format!("{}/{vhost}", self.broker.url)
    }

    /// The broker's process, for tests that stop, pause or kill it.
    pub fn process(&self) -> Process {
        self.process
    }

    /// Stops the broker; its epmd stays for the next start.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&self) -> Result<()> {
        self.process.terminate(STOPS_WITHIN)
    }

    /// Starts the broker again, with all that it stored.
    ///
    /// # Errors
    /// As [`RabbitMq::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.process = self.broker.spawn()?;
        self.broker.wait_ready(&self.process)
    }

    /// Ends the broker and everything it started. Twice is fine.
    ///
    /// # Errors
    /// Something does not end.
    pub fn end(&self) -> Result<()> {
        // A paused process acts on no signal but SIGKILL.
        self.process.signal(rustix::process::Signal::CONT)?;
        self.stop()?;
        end_epmd(&self.dir)?;
        for found in of_stack(&self.dir) {
            found.process.kill()?;
        }
        Ok(())
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // Nobody is left to be told; the caller who wants to know calls `end` first.
        let _ = self.end();
    }
}

fn definitions(user: &str, password: &str, vhosts: &[String]) -> serde_json::Value {
    let permission =
        |vhost: &String| json!({"user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"});
    json!({
        "users": [{"name": user, "password": password, "tags": ""}],
        "vhosts": vhosts.iter().map(|vhost| json!({"name": vhost})).collect::<Vec<_>>(),
        "permissions": vhosts.iter().map(permission).collect::<Vec<_>>(),
    })
}

fn configuration(dir: &Path, listen: SocketAddrV4) -> String {
    let dir = dir.display();
    // Only what a reader of a failed test needs; the limits let it run beside other brokers on a small machine.
    format!(
        "listeners.tcp.1 = {listen}\n\
         load_definitions = {dir}/definitions.json\n\
         log.console = false\n\
         log.file = {dir}/broker.log\n\
         log.file.level = warning\n\
         log.upgrade.level = error\n\
         vm_memory_high_watermark.absolute = 512MB\n\
         disk_free_limit.absolute = 50MB\n"
    )
}

fn launch(dir: &Path, stack_dir: &Path, block: &Block) -> Result<Launch> {
    let number = u16::from(block.number());
    // Two ports on 127.0.0.1 that the block's number makes ours, below the range of outgoing connections.
    let epmd = free_port(Ipv4Addr::LOCALHOST, 21_000 + 2 * number)?;
    let distribution = free_port(Ipv4Addr::LOCALHOST, 21_001 + 2 * number)?;
    let launch = Launch::new(SERVER, dir.join("rabbitmq.out"), dir)
        .env(STACK_DIR_VARIABLE, text(stack_dir)?)
        .env("HOME", text(&dir.join("home"))?)
        .env("RABBITMQ_NODENAME", format!("redtrove{number}@localhost"))
        .env("ERL_EPMD_PORT", epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        // The script then becomes the broker instead of waiting for it, so the pid that we know is the broker's.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_BASE", text(dir)?)
        .env("RABBITMQ_MNESIA_BASE", text(&dir.join("mnesia"))?)
        .env("RABBITMQ_LOG_BASE", text(&dir.join("log"))?)
        .env("RABBITMQ_PID_FILE", text(&dir.join("pid"))?)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", text(&dir.join("enabled_plugins"))?)
        .env("RABBITMQ_CONFIG_FILE", text(&dir.join("rabbitmq"))?)
        // Settings of the machine's own broker are none of ours.
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", text(&dir.join("advanced"))?);
    Ok(launch)
}

/// Whether a broker answers the AMQP 0-9-1 header with a method frame.
fn speaks_amqp(at: SocketAddrV4) -> bool {
    let wait = Duration::from_millis(500);
    let Ok(mut stream) = TcpStream::connect_timeout(&at.into(), wait) else { return false };
    let mut frame_type = [0; 1];
    stream.set_read_timeout(Some(wait)).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut frame_type).is_ok()
        && frame_type == [1]
}

#[cfg(test)]
mod tests;
