//! Debian packages that a command needs: listed, asked about, installed.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Result, bail};
use redtrove_testkit::install::{Package, Refused, command_line, install, missing};

use crate::interrupt::Interrupt;
use crate::say;

/// Whether the user has agreed already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    Given,
    Ask,
}

/// Installs what is missing of `wanted`, after asking.
pub(crate) fn provide(wanted: &[Package], consent: Consent, interrupt: &Interrupt) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    say::note(&format!("missing packages: {}", names.join(", ")));
    if consent == Consent::Ask && !agrees(&missing)? {
        bail!(Refused { command: command_line(&missing), reason: "not installed" });
    }
    install(&missing)?;
    // A Ctrl-C during the installation is heeded now that dpkg is done.
    interrupt.check()
}

fn agrees(missing: &[Package]) -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!(Refused { command: command_line(missing), reason: "nobody is there to be asked" });
    }
    say::note("install them now? No service will be started. [Y/n]");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(!answer.is_empty() && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}
