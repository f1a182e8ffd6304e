//! Writing and reading keys through a client that follows the cluster's redirects.

use std::io::Write as _;
use std::net::SocketAddrV4;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use redtrove_testkit::install::find_program;
use redtrove_testkit::redis::cli;

use crate::say;

/// Enough keys that every node gets many.
const KEYS: usize = 300;

pub(super) fn write_and_read(addresses: &[SocketAddrV4]) -> Result<()> {
    let (first, last) = addresses.first().zip(addresses.last()).context("the cluster has no node")?;
    let info = cli(*first, &[], &["cluster", "info"])?;
    for line in ["cluster_state:ok", "cluster_slots_assigned:16384", "cluster_size:3"] {
        ensure!(info.lines().any(|shown| shown.trim() == line), "the cluster does not say {line}:\n{info}");
    }
    say::note("16384 slots are served by three masters");

    let writes: Vec<String> = (0..KEYS).map(|n| format!("set demo:{n} value-{n}")).collect();
    let written = talk(*first, &writes)?;
    let acknowledged = written.iter().filter(|line| *line == "OK").count();
    ensure!(acknowledged == KEYS, "{acknowledged} of {KEYS} writes were acknowledged");
    let reads: Vec<String> = (0..KEYS).map(|n| format!("get demo:{n}")).collect();
    let read = talk(*last, &reads)?;
    let right = (0..KEYS).filter(|n| read.contains(&format!("value-{n}"))).count();
    ensure!(right == KEYS, "{right} of {KEYS} keys were read back");
    say::note(&format!("{KEYS} keys written through {first} and read back through {last}"));
    for address in addresses {
        let size: usize = cli(*address, &[], &["dbsize"])?.trim().parse().context("DBSIZE is no number")?;
        ensure!(size > 0, "no key lies on {address}");
        say::note(&format!("  {address} holds {size} of them"));
    }
    Ok(())
}

/// Sends commands to `redis-cli -c`, one a line, and returns what it answered, line by line.
fn talk(at: SocketAddrV4, commands: &[String]) -> Result<Vec<String>> {
    let program = find_program("redis-cli").context("no redis-cli here; install the package redis-tools")?;
    let mut command = Command::new(program);
    command.args(["-c", "-h", &at.ip().to_string(), "-p", &at.port().to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().context("cannot run redis-cli")?;
    let mut stdin = client.stdin.take().context("redis-cli takes no input")?;
    // All of it fits into the pipe, so writing never waits for the reading below.
    stdin.write_all((commands.join("\n") + "\n").as_bytes()).context("redis-cli does not listen")?;
    drop(stdin);
    let output = client.wait_with_output().context("redis-cli does not end")?;
    ensure!(output.status.success(), "redis-cli failed ({})", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
