//! The failure matrix: every operation, at every step, with every kind of accident, on real processes. `cargo xtask chaos`
//! builds and starts it.

mod batch;
mod bed;
mod cell;
mod chance;
mod keys;
mod lane;
mod matrix;
mod network;
mod page;
mod results;
mod storm;
mod strike;
mod tenant;
mod trial;

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A sample is to be over in five minutes: its last cells take half a minute, and their debts a minute and more.
const SAMPLE_BEGINS_WITHIN: Duration = Duration::from_secs(195);

/// Accidents to every part of redtrove, at every step of every operation
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", bin_name = "cargo xtask chaos", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the matrix or a part of it
    Matrix(MatrixOptions),
    /// Run cells chosen by chance, for about five minutes at most
    Sample(SampleOptions),
    /// Kill everything again and again while clusters come, grow, shrink and go
    Storm(StormOptions),
    /// Run orders from standard input
    #[command(hide = true)]
    Lane {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        binaries: PathBuf,
        #[arg(long)]
        own_network: bool,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// The directory with redtrove-api, redtrove-taskmanager and redtrove-guestagent
    #[arg(long)]
    binaries: PathBuf,
    /// Where stacks live; those in which a promise was broken stay there
    #[arg(long)]
    dir: PathBuf,
    /// How many cells are run side by side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    lanes: u8,
}

#[derive(Debug, Args)]
struct MatrixOptions {
    #[command(flatten)]
    place: Place,
    /// Only cells whose name (operation/step/victim/accident) holds this
    #[arg(long)]
    only: Option<String>,
    /// Leave out the cells before this one
    #[arg(long)]
    from: Option<String>,
    /// Leave out the cells that ended well in earlier runs with the same programs
    #[arg(long)]
    resume: bool,
    /// Begin no cell after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// The page to be written from all results there are
    #[arg(long)]
    page: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SampleOptions {
    #[command(flatten)]
    place: Place,
    /// Where the choice comes from; without it, from chance
    #[arg(long)]
    seed: Option<u64>,
    /// How many cells
    #[arg(long, default_value_t = 12)]
    cells: usize,
    /// Fail where the network rows cannot be run
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct StormOptions {
    /// The directory with redtrove-api, redtrove-taskmanager and redtrove-guestagent
    #[arg(long)]
    binaries: PathBuf,
    /// Where the stack lives
    #[arg(long)]
    dir: PathBuf,
    /// How long it lasts
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How many processes are killed in that time
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// How many clusters come and go at the same time
    #[arg(long, default_value_t = 10)]
    clusters: usize,
    /// Restart the database every so many seconds, too
    #[arg(long)]
    restart_database: Option<u64>,
    /// Where victims come from; without it, from chance
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Matrix(options) => run_matrix(options),
        Command::Sample(options) => run_sample(options),
        Command::Storm(options) => run_storm(options),
        Command::Lane { dir, binaries, own_network } => lane::run(&dir, &binaries, own_network),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_matrix(options: MatrixOptions) -> anyhow::Result<()> {
    let MatrixOptions { place, only, from, resume, minutes, page } = options;
    let within = minutes.map(|minutes| Duration::from_secs(60 * minutes));
    matrix::run(&wanted(place, matrix::Part { only, from, resume, within, ..matrix::Part::default() }, page))
}

fn run_sample(options: SampleOptions) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_else(any);
    note(&format!("chosen by seed {seed}; the same cells again: cargo xtask chaos sample --seed {seed}"));
    if let (true, Some(why)) = (options.strict, network::obstacle()) {
        anyhow::bail!("network namespaces cannot be made here, and nothing may be left out: {why}");
    }
    let (most, within) = (Some(options.cells), Some(SAMPLE_BEGINS_WITHIN));
    let part = matrix::Part { seed: Some(seed), most, within, ..matrix::Part::default() };
    matrix::run(&wanted(options.place, part, None))
}

fn run_storm(options: StormOptions) -> anyhow::Result<()> {
    let StormOptions { binaries, dir, minutes, kills, clusters, restart_database, seed } = options;
    let seed = seed.unwrap_or_else(any);
    note(&format!("a storm of seed {seed}"));
    let (length, restart_database) = (Duration::from_secs(60 * minutes), restart_database.map(Duration::from_secs));
    storm::run(&storm::Wanted { binaries, dir, length, kills, clusters, restart_database, seed })
}

fn wanted(place: Place, part: matrix::Part, page: Option<PathBuf>) -> matrix::Wanted {
    let results = place.dir.join("results.jsonl");
    matrix::Wanted { binaries: place.binaries, dir: place.dir, results, lanes: place.lanes.into(), part, page }
}

/// A number by chance.
fn any() -> u64 {
    std::hash::RandomState::new().build_hasher().finish() % 1_000_000
}

/// A line for whoever watches, on standard error: standard output is for what programs read.
fn note(words: &str) {
    // Nobody is left to be told of an error.
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}
