//! The peer: `redis-cli --cluster create` on plain redis-servers with the settings that redtrove gives its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::install::find_program;
use redtrove_testkit::redis::RedisServer;
use redtrove_testkit::stack::block::Block;

use super::agreement::{View, check};
use super::resp::Connection;
use crate::bench::Bench;

/// How long every redis-server has been up when a formation begins, on both sides. A master says ok two seconds after
/// its start at the earliest; neither side is to profit from that wait.
pub(super) const UPTIME: Duration = Duration::from_secs(3);
/// What redtrove's redis.conf says and could matter; testkit gives both sides address, port and cluster mode alike.
const SETTINGS: [&str; 5] = [
    "cluster-node-timeout 15000",
    "appendonly yes",
    "appendfsync everysec",
    "cluster-require-full-coverage yes",
    "cluster-allow-replica-migration no",
];
/// The pause between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const UP_WITHIN: Duration = Duration::from_secs(120);
/// A hundred nodes take most of a minute on two cores.
const AGREED_WITHIN: Duration = Duration::from_secs(300);

/// From the start of redis-cli until every node agrees.
pub(super) fn form(bench: &Bench<'_>, size: usize) -> Result<Duration> {
    let block = Block::take()?;
    let dir = bench.fresh_dir("peer")?;
    let took = form_in(bench, &dir, &addresses(&block, size)?);
    std::fs::remove_dir_all(&dir).context("cannot remove the servers' directories")?;
    took
}

/// Addresses beside the one of a stack's own servers.
fn addresses(block: &Block, size: usize) -> Result<Vec<Ipv4Addr>> {
    let address = |n: usize| {
        let (high, low) = (u8::try_from(n / 250)?, u8::try_from(n % 250 + 2)?);
        Ok(Ipv4Addr::new(127, block.number(), high, low))
    };
    (0..size).map(address).collect()
}

fn form_in(bench: &Bench<'_>, dir: &Path, addresses: &[Ipv4Addr]) -> Result<Duration> {
    let mut servers = Vec::with_capacity(addresses.len());
    for address in addresses {
        bench.interrupt.check()?;
        servers.push(RedisServer::spawn(&dir.join(address.to_string()), *address, &SETTINGS)?);
    }
    servers.iter().try_for_each(RedisServer::wait_ready)?;
    let connect = |server: &RedisServer| Connection::open(server.address());
    let mut nodes: Vec<Connection> = servers.iter().map(connect).collect::<Result<_>>()?;
    for node in &mut nodes {
        bench.wait_for("the servers to have been up for a while", UP_WITHIN, LOOK_EVERY, || {
            Ok((uptime(node)? >= UPTIME).then_some(()))
        })?;
    }
    let addresses: Vec<SocketAddrV4> = servers.iter().map(RedisServer::address).collect();
    let started = Instant::now();
    let mut client = RedisCli::create(&addresses, &dir.join("redis-cli.out"))?;
    wait_for_agreement(bench, &mut nodes, &mut client)?;
    let took = started.elapsed();
    client.wait(bench)?;
    Ok(took)
}

fn uptime(node: &mut Connection) -> Result<Duration> {
    let info = node.ask("INFO server")?;
    let seconds = info.lines().find_map(|line| line.strip_prefix("uptime_in_seconds:")?.trim().parse().ok());
    seconds.map(Duration::from_secs).context("INFO tells no uptime")
}

/// One node at a time is asked until it is content, so that the nodes have next to no work with it; then all are
/// asked once more, since only that shows that they agree with each other.
fn wait_for_agreement(bench: &Bench<'_>, nodes: &mut [Connection], client: &mut RedisCli) -> Result<()> {
    let size = nodes.len();
    let started = Instant::now();
    loop {
        for node in nodes.iter_mut() {
            bench.wait_for("a node to see the cluster", AGREED_WITHIN, LOOK_EVERY, || {
                client.check_running()?;
                Ok(View::ask(node)?.is_of(size).then_some(()))
            })?;
        }
        let views: Vec<View> = nodes.iter_mut().map(View::ask).collect::<Result<_>>()?;
        match check(&views, size) {
            Ok(()) => return Ok(()),
            Err(error) if started.elapsed() > AGREED_WITHIN => return Err(error),
            Err(_) => redtrove_testkit::pause(LOOK_EVERY),
        }
    }
}

/// A running `redis-cli --cluster create`.
struct RedisCli {
    child: Child,
    output: std::path::PathBuf,
}

impl RedisCli {
    fn create(nodes: &[SocketAddrV4], output: &Path) -> Result<Self> {
        let program = find_program("redis-cli").context("no redis-cli here; install the package redis-tools")?;
        let file = File::create(output).context("no place for the output of redis-cli")?;
        let mut command = Command::new(program);
        command.args(["--cluster", "create"]).args(nodes.iter().map(ToString::to_string)).arg("--cluster-yes");
        command.stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file);
        Ok(Self { child: command.spawn().context("cannot run redis-cli")?, output: output.to_owned() })
    }

    /// Whether it has ended well; an error if it failed.
    fn check_running(&mut self) -> Result<bool> {
        match self.child.try_wait().context("redis-cli is lost")? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let said = std::fs::read_to_string(&self.output).unwrap_or_default();
                bail!("redis-cli --cluster create failed ({status}): {}", said.trim_end())
            }
        }
    }

    /// Its own last look at the cluster may come after ours.
    fn wait(&mut self, bench: &Bench<'_>) -> Result<()> {
        bench.wait_for("redis-cli to end", AGREED_WITHIN, LOOK_EVERY, || Ok(self.check_running()?.then_some(())))
    }
}

impl Drop for RedisCli {
    fn drop(&mut self) {
        // It has ended, or nobody waits for its end any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use redtrove_testkit::stack::block::Block;

    use super::addresses;

    #[test]
    fn a_thousand_nodes_have_addresses_of_their_own() {
        let block = Block::take().expect("a block");
        let mut all = addresses(&block, 1000).expect("addresses");
        assert!(!all.contains(&block.services()));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 1000);
    }
}
