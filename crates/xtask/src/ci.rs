//! `cargo xtask ci`: what has to hold before a change lands. The tests come last, so their summary ends the output.

mod architecture;
mod documents;
mod units;

use anyhow::{Result, bail};
use redtrove_testkit::install::find_program;

use crate::cli::SchemathesisOptions;
use crate::interrupt::Interrupt;
use crate::{chaos, compile, say, schemathesis, tests};

/// Drawn cases of each operation: with those that the document gives, half a minute of requests.
const CASES: u32 = 20;

/// Cells of the failure matrix, chosen by chance: about three minutes.
const CELLS: usize = 12;

pub(crate) fn run() -> Result<()> {
    let interrupt = Interrupt::catch()?;
    say::heading("format");
    compile::run(compile::cargo().args(["fmt", "--all", "--check"]), &interrupt)?;
    say::heading("architecture");
    architecture::check()?;
    say::heading("units");
    units::check()?;
    say::heading("documents");
    documents::check()?;
    say::heading("dependencies");
    dependencies(&interrupt)?;
    say::heading("lint");
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    compile::run(compile::cargo().args(clippy), &interrupt)?;
    let daemons = tests::build(&interrupt)?;
    say::heading("requests made up from the OpenAPI document");
    schemathesis::run_with(&SchemathesisOptions { cases: CASES, seed: 1 }, daemons, &interrupt)?;
    say::heading("a sample of the failure matrix");
    let mut sample = vec!["sample".to_owned(), "--cells".to_owned(), CELLS.to_string()];
    if tests::is_ci() {
        sample.push("--strict".to_owned());
    }
    chaos::start(&sample, &interrupt)?;
    tests::run_with(&interrupt)
}

/// Licences, bans and sources of deny.toml; its advisories need the network and are looked at by people.
fn dependencies(interrupt: &Interrupt) -> Result<()> {
    if find_program("cargo-deny").is_none() {
        say::note("cargo-deny is not installed: licences, bans and sources were not checked");
        return Ok(());
    }
    compile::run(compile::cargo().args(["deny", "check", "bans", "licenses", "sources"]), interrupt)
}

/// Says what was left out on a developer's machine; fails in CI, where nothing may be.
fn left_out(what: &str) -> Result<()> {
    if tests::is_ci() {
        bail!("{what}, and nothing may be left out in CI");
    }
    say::note(&format!("left out: {what}"));
    Ok(())
}
