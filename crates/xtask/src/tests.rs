//! `cargo xtask test`: everything, on real servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use redtrove_testkit::clients::Clients;
use redtrove_testkit::install::{FAKETIME, IPROUTE, IPTABLES, RABBITMQ, REDIS, find_program};
use redtrove_testkit::keystone::{self, KEYSTONE, SharedKeystone};
use redtrove_testkit::mariadb::MARIADB;
use redtrove_testkit::process::table::of_stacks_below;
use redtrove_testkit::rabbitmq::{SHARED_VARIABLE, SharedBroker};
use redtrove_testkit::stack::Binaries;
use redtrove_testkit::venv::PIP;

use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{compile, say};

pub(crate) fn run() -> Result<()> {
    run_with(&Interrupt::catch()?)
}

pub(crate) fn run_with(interrupt: &Interrupt) -> Result<()> {
    build(interrupt)?;

    say::heading("OpenStack's command lines");
    Clients::install(&target()?)?;
    interrupt.check()?;
    say::heading("start what the tests share: a broker and a Keystone");
    let (broker, keystone_server) = std::thread::scope(|scope| {
        let starting = scope.spawn(SharedKeystone::start);
        (SharedBroker::start(), starting.join())
    });
    let (broker, keystone_server) = (broker?, keystone_server.map_err(|_| anyhow!("Keystone's thread broke"))??);
    interrupt.check()?;
    // Sockets below it must stay under 108 bytes, hence the short name.
    let dir = tempfile::Builder::new().prefix("rt-").rand_bytes(4).tempdir().context("no temporary directory")?;
    say::heading("test");
    let mut command = runner();
    command.env(SHARED_VARIABLE, broker.directory()).env(keystone::SHARED_VARIABLE, keystone_server.directory());
    command.env("TMPDIR", dir.path());
    if is_ci() {
        // A snapshot that differs is a failure there, not a file to be looked at.
        command.env("INSTA_UPDATE", "no").env("INSTA_FORCE_PASS", "0");
    }
    let outcome = compile::run(&mut command, interrupt);
    let strays = end_strays(dir.path())?;
    broker.end()?;
    keystone_server.end()?;
    outcome?;
    if !strays.is_empty() {
        bail!("tests passed but left processes running: {}", strays.join(", "));
    }
    Ok(())
}

/// Installs what the tests need and builds everything. Daemons and tests in one go: built apart, shared dependencies would differ in features and be compiled twice.
pub(crate) fn build(interrupt: &Interrupt) -> Result<Binaries> {
    packages::provide(
        &[&[REDIS, RABBITMQ, MARIADB, PIP, FAKETIME, IPROUTE, IPTABLES][..], &KEYSTONE].concat(),
        Consent::Given,
        interrupt,
    )?;
    say::heading("build");
    compile::run(compile::cargo().args(["build", "--workspace", "--all-targets"]), interrupt)?;
    let me = std::env::current_exe().context("cannot tell where xtask was built")?;
    Binaries::within(me.parent().context("xtask has no directory")?)
}

/// Whether this is a machine of the continuous integration, where nothing may be left out.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// cargo's target directory, where xtask was built.
pub(crate) fn target() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot tell where xtask was built")?;
    // target/debug/xtask
    Ok(me.ancestors().nth(2).context("xtask has no place")?.to_owned())
}

/// nextest where it is found, else cargo's own runner.
fn runner() -> Command {
    let mut command = compile::cargo();
    if find_program("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--workspace", "--no-fail-fast"]);
    }
    command
}

/// Ends what tests left behind below their temporary directory, and names it.
pub(crate) fn end_strays(dir: &Path) -> Result<Vec<String>> {
    let dir = dir.canonicalize().context("the temporary directory is gone")?;
    let mut names = Vec::new();
    for found in of_stacks_below(&dir) {
        found.process.kill()?;
        names.push(format!("{} ({})", found.command_line, found.process.pid));
    }
    Ok(names)
}
