//! `cargo xtask demo`: everything real, from nothing to keys in a cluster.

mod creation;
mod guide;
mod keys;
mod progress;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redtrove_testkit::pause;
use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::stack::{self, Bus, Description, StackOptions};

use crate::cli::DemoOptions;
use crate::interrupt::{Interrupt, Interrupted};
use crate::packages::{self, Consent};
use crate::{compile, say, stacks};

pub(crate) fn run(options: &DemoOptions) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    let bus = if options.embedded { Bus::None } else { Bus::RabbitMq };
    let consent = if options.yes { Consent::Given } else { Consent::Ask };
    packages::provide(&stacks::needed(&bus, &options.kind), consent, &interrupt)?;
    say::heading("build");
    let binaries = compile::daemons(&interrupt)?;

    say::heading("start");
    let dir = tempfile::Builder::new().prefix("redtrove-demo.").tempdir().context("no temporary directory")?;
    // From here on the directory is the stack's, which removes it at its end; after a failure its logs stay.
    let dir = dir.keep().canonicalize().context("the temporary directory is gone")?;
    let mut wanted = StackOptions::new(&dir, binaries);
    wanted.bus = bus;
    wanted.db = stacks::db(&options.kind);
    wanted.auth = stacks::auth(&options.kind);
    let outcome = play(&wanted, options.exit, &interrupt);
    leave(&dir, outcome)
}

fn play(wanted: &StackOptions, exit: bool, interrupt: &Interrupt) -> Result<()> {
    let description = stacks::start_and_leave(wanted, true, interrupt)?;
    say::heading("create a cluster of three");
    let cluster = creation::create(&description, interrupt)?;
    say::heading("write and read keys");
    keys::write_and_read(&cluster.addresses)?;
    guide::show(&description, &cluster);
    if exit {
        return Ok(());
    }
    say::note("\nEverything runs until you press Ctrl-C.");
    wait_for_the_end(&description, interrupt);
    Ok(())
}

/// Until Ctrl-C, or until somebody else ended the stack.
fn wait_for_the_end(description: &Description, interrupt: &Interrupt) {
    while !interrupt.is_seen() && description.dir.is_dir() {
        pause(Duration::from_millis(50));
    }
}

/// Ends the stack. After a failure its files stay, since they tell why.
fn leave(dir: &Path, outcome: Result<()>) -> Result<()> {
    say::heading("stop");
    let failed = outcome.as_ref().is_err_and(|error| !error.is::<Interrupted>());
    if failed {
        stack::end_processes(dir)?;
        say::note(&format!("the logs of what failed are in {}", dir.join("log").display()));
        return outcome;
    }
    stack::end(dir)?;
    outcome?;
    ensure!(of_stack(dir).is_empty() && !dir.exists(), "something of the demo was left behind in {}", dir.display());
    say::note("nothing is left behind");
    Ok(())
}
