//! What the API serves: requests a second and how long an answer takes, memory, and start-up.

mod database;
mod memory;
mod operation;
mod plot;
mod real;
mod report;
mod results;
mod seeded;
mod sizes;
mod start;
mod targets;
mod wrk;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use redtrove_testkit::install::{Package, RABBITMQ, REDIS};
use redtrove_testkit::keystone::KEYSTONE;

use self::results::{Results, Tokens, median};
use super::machine::Machine;
use super::{Bench, page, with_bench};
use crate::cli::ApiOptions;
use crate::say;

/// The clusters of a whole run's database.
pub(crate) const CLUSTERS: u32 = 1_000;
/// How long each measurement of a whole run takes.
pub(crate) const SECONDS: u64 = 4;
/// The clusters of the databases that are compared with each other, from the fewest to the most.
const SIZES: [u32; 3] = [100, 10_000, 100_000];
/// How often the databases of different sizes have their turns.
const ROUNDS: usize = 3;
/// How many connections ask at a time.
const CONNECTIONS: [u32; 2] = [1, 16];
/// How many real clusters there are in the part with real clusters.
const REAL: usize = 20;
/// How often each daemon is started.
const STARTS: usize = 5;

/// The shell of SQLite, which fills databases in one go.
const SQLITE: Package = Package { name: "sqlite3", proof: &["sqlite3"] };

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// All operations with static tokens, the taskmanager stopped
    Static,
    /// The same with tokens of Keystone
    Keystone,
    /// Lists of databases of several sizes
    Sizes,
    /// Real clusters with the taskmanager running, and the start of each daemon
    Real,
}

impl Part {
    /// A whole run.
    pub(crate) const ALL: [Self; 4] = [Self::Static, Self::Keystone, Self::Sizes, Self::Real];
}

/// `cargo xtask bench api`.
pub(crate) fn run(options: &ApiOptions) -> Result<()> {
    let mut packages = vec![REDIS, RABBITMQ, wrk::WRK, SQLITE];
    if options.parts.contains(&Part::Keystone) {
        packages.extend(KEYSTONE);
    }
    let results = with_bench(&options.build, &packages, |bench| measure(bench, options))?;
    say::result(&report::tables(&results));
    if options.is_whole() {
        report::section(&results).write(&page::docs(), &results)?;
        say::note("written to docs/performance.md");
    } else {
        say::note("docs/performance.md is only written by a whole run: all parts, 1000 clusters, 4 s, release");
    }
    let missed = targets::missed(&results);
    if missed.is_empty() { Ok(()) } else { bail!("missed: {}", missed.join("; ")) }
}

fn measure(bench: &Bench<'_>, options: &ApiOptions) -> Result<Results> {
    let mut results = Results {
        machine: Machine::look(options.build.profile)?,
        clusters: options.clusters,
        sync_ms: sync_ms(bench)?,
        seeded: Vec::new(),
        sizes: Vec::new(),
        real: None,
        memory: Vec::new(),
        starts: Vec::new(),
    };
    say::note(&format!("  a write is on the disk after {:.2} ms", results.sync_ms));
    for (part, tokens) in [(Part::Static, Tokens::Static), (Part::Keystone, Tokens::Keystone)] {
        if options.parts.contains(&part) {
            let (table, memory) = seeded::measure(bench, options, tokens)?;
            results.seeded.push(table);
            results.memory.extend(memory);
        }
    }
    if options.parts.contains(&Part::Sizes) {
        results.sizes = sizes::measure(bench, options)?;
    }
    if options.parts.contains(&Part::Real) {
        let found = real::measure(bench, options)?;
        results.real = Some(found.real);
        results.memory.extend(found.memory);
        results.starts = found.starts;
    }
    Ok(results)
}

/// How long a write of 4 KiB takes until it is on the disk that the databases are on: the least that a commit costs.
fn sync_ms(bench: &Bench<'_>) -> Result<f64> {
    let mut file = File::create(bench.dir.join("sync")).context("cannot write a file")?;
    let once = |file: &mut File| -> std::io::Result<Duration> {
        let began = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        Ok(began.elapsed())
    };
    let times: Vec<Duration> = (0..200).map(|_| once(&mut file)).collect::<Result<_, _>>()?;
    Ok(median(times.iter().map(Duration::as_secs_f64)) * 1e3)
}

impl ApiOptions {
    /// Whether the results are the ones that the documentation shows.
    fn is_whole(&self) -> bool {
        let all = Part::ALL.iter().all(|part| self.parts.contains(part));
        self.build.is_released() && all && self.clusters == CLUSTERS && self.seconds == SECONDS
    }
}
