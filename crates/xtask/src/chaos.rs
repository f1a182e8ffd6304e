//! `cargo xtask chaos`: builds the failure matrix and everything it runs, and starts it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use redtrove_testkit::install::{IPROUTE, IPTABLES, RABBITMQ, REDIS};
use redtrove_testkit::mariadb::MARIADB;

use crate::compile::{self, project_root};
use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{say, tests};

/// The packages of its servers, and of what cuts its networks.
pub(crate) const PACKAGES: [redtrove_testkit::install::Package; 5] = [REDIS, RABBITMQ, MARIADB, IPTABLES, IPROUTE];

/// Runs it with these arguments; none means the whole matrix, and `--yes` installs what is missing without asking.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    let (yes, arguments): (Vec<_>, Vec<_>) = arguments.iter().cloned().partition(|word| word == "--yes");
    if !asks_for_help(&arguments) {
        let consent = if yes.is_empty() { Consent::Ask } else { Consent::Given };
        packages::provide(&PACKAGES, consent, &interrupt)?;
    }
    let mut build = compile::cargo();
    build.args(["build", "--workspace", "--bins"]);
    compile::run(&mut build, &interrupt)?;
    let mut words = arguments;
    if words.is_empty() {
        words.push("matrix".to_owned());
    }
    if words.first().is_some_and(|word| word == "matrix")
        && !words.iter().any(|word| word == "--only" || word == "--page")
    {
        let page = project_root().join("docs/failure-matrix.md");
        words.extend(["--page".to_owned(), page.display().to_string()]);
    }
    start(&words, &interrupt)
}

fn asks_for_help(arguments: &[String]) -> bool {
    arguments.iter().any(|word| matches!(word.as_str(), "help" | "--help" | "-h"))
}

/// Starts what is built, and ends what it may leave behind.
pub(crate) fn start(arguments: &[String], interrupt: &Interrupt) -> Result<()> {
    let me = std::env::current_exe().context("cannot tell where xtask was built")?;
    let binaries = me.parent().context("xtask has no directory")?;
    let dir = tests::target()?.join("chaos");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    end_strays(&dir)?;
    let mut command = Command::new(binaries.join("redtrove-chaos"));
    command.args(arguments);
    if !asks_for_help(arguments) {
        command.arg("--binaries").arg(binaries).arg("--dir").arg(&dir);
    }
    let outcome = compile::run(&mut command, interrupt);
    end_strays(&dir)?;
    outcome
}

fn end_strays(dir: &Path) -> Result<()> {
    let strays = tests::end_strays(dir)?;
    if !strays.is_empty() {
        say::note(&format!("ended what was left running: {}", strays.join(", ")));
    }
    Ok(())
}
