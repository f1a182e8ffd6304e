//! `cargo xtask bench …`: what redtrove is measured at, each benchmark against its peer in the same run.

mod agreement;
mod formation;
mod load;
mod ours;
mod peer;
mod plot;
mod report;
mod resp;
mod results;
mod targets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::install::REDIS;
use redtrove_testkit::stack::Binaries;

use crate::cli::{FormationOptions, Profile};
use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{compile, say};

pub(crate) use results::{RUNS, SIZES};

/// `cargo xtask bench formation`.
pub(crate) fn formation(options: &FormationOptions) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    packages::provide(&[REDIS], Consent::Ask, &interrupt)?;
    let binaries = match &options.binaries {
        Some(dir) => Binaries::within(&dir.canonicalize().context("no directory of programs")?)?,
        None => {
            say::heading("build");
            compile::daemons_in(options.profile.name(), &interrupt)?
        }
    };
    say::heading("measure");
    let results = formation::measure(options, &binaries, &interrupt)?;
    say::result(&report::tables(&results));
    if options.is_whole() {
        report::write(&docs(), &results)?;
        say::note("written to docs/performance.md");
    } else {
        say::note("docs/performance.md is only written by a whole run: all sizes, five runs, release");
    }
    let missed = targets::missed(&results);
    if missed.is_empty() { Ok(()) } else { bail!("missed: {}", missed.join("; ")) }
}

fn docs() -> PathBuf {
    compile::project_root().join("docs")
}

/// What every measurement needs.
struct Bench<'a> {
    binaries: &'a Binaries,
    /// Everything of a run is below it, and gone after it.
    dir: &'a Path,
    interrupt: &'a Interrupt,
}

impl Bench<'_> {
    /// Looks every `pause` until `look` has seen what is waited for; `within` bounds it, and Ctrl-C ends it.
    fn wait_for<T>(
        &self,
        reason: &str,
        within: Duration,
        pause: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = std::time::Instant::now();
        loop {
            if let Some(seen) = look()? {
                return Ok(seen);
            }
            self.interrupt.check()?;
            if started.elapsed() >= within {
                bail!("waited {} s in vain for {reason}", within.as_secs());
            }
            redtrove_testkit::pause(pause);
        }
    }

    /// A directory of a run's own.
    fn fresh_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}

impl FormationOptions {
    /// Whether the results are the ones that the documentation shows.
    fn is_whole(&self) -> bool {
        self.binaries.is_none()
            && self.profile == Profile::Release
            && self.runs == results::RUNS
            && self.sizes == results::SIZES
    }
}
