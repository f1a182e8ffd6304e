//! How long nodes take to become a cluster, beside `redis-cli --cluster create`.

mod agreement;
mod ours;
mod peer;
mod plot;
mod report;
mod resp;
mod results;
mod run;
mod targets;

use anyhow::{Result, bail};
use redtrove_testkit::install::REDIS;

pub(crate) use results::{RUNS, SIZES};

use super::{page, with_bench};
use crate::cli::FormationOptions;
use crate::say;

/// `cargo xtask bench formation`.
pub(crate) fn run(options: &FormationOptions) -> Result<()> {
    let results = with_bench(&options.build, &[REDIS], |bench| run::measure(options, bench))?;
    say::result(&report::tables(&results));
    if options.is_whole() {
        report::section(&results).write(&page::docs(), &results)?;
        say::note("written to docs/performance.md");
    } else {
        say::note("docs/performance.md is only written by a whole run: all sizes, five runs, release");
    }
    let missed = targets::missed(&results);
    if missed.is_empty() { Ok(()) } else { bail!("missed: {}", missed.join("; ")) }
}

impl FormationOptions {
    /// Whether the results are the ones that the documentation shows.
    fn is_whole(&self) -> bool {
        self.build.is_released() && self.runs == RUNS && self.sizes == SIZES
    }
}
