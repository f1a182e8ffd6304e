//! `cargo xtask bench …`: what redtrove is measured at.

pub(crate) mod api;
pub(crate) mod formation;
mod load;
mod machine;
mod page;
mod svg;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::install::Package;
use redtrove_testkit::stack::Binaries;

use crate::cli::{BuildOptions, Profile};
use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{compile, say};

/// What every measurement needs.
struct Bench<'a> {
    binaries: &'a Binaries,
    /// Everything of a run is below it, and gone after it.
    dir: &'a Path,
    interrupt: &'a Interrupt,
}

/// Installs what a benchmark needs, builds the daemons and measures with them.
fn with_bench<R>(
    build: &BuildOptions,
    packages: &[Package],
    measure: impl FnOnce(&Bench<'_>) -> Result<R>,
) -> Result<R> {
    let interrupt = Interrupt::catch()?;
    packages::provide(packages, Consent::Ask, &interrupt)?;
    let binaries = match &build.binaries {
        Some(dir) => Binaries::within(&dir.canonicalize().context("no directory of programs")?)?,
        None => {
            say::heading("build");
            compile::daemons_in(build.profile.name(), &interrupt)?
        }
    };
    say::heading("measure");
    let dir = tempfile::Builder::new().prefix("rt-bench.").tempdir().context("no temporary directory")?;
    measure(&Bench { binaries: &binaries, dir: dir.path(), interrupt: &interrupt })
}

impl BuildOptions {
    /// Whether it is what users run that is measured.
    fn is_released(&self) -> bool {
        self.binaries.is_none() && self.profile == Profile::Release
    }
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
