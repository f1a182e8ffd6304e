//! The order of the runs.

use std::time::Duration;

use anyhow::{Context as _, Result};
use redtrove_testkit::install::find_program;
use redtrove_testkit::stack::Binaries;

use super::load::Load;
use super::results::{Formation, Machine, Results, Run};
use super::{Bench, ours, peer};
use crate::cli::FormationOptions;
use crate::interrupt::Interrupt;
use crate::say;

/// The members of the cluster whose whole creation is timed.
const CREATED: usize = 3;

/// Measures everything; the two sides take turns, so that whatever else the machine does hits both.
pub(super) fn measure(options: &FormationOptions, binaries: &Binaries, interrupt: &Interrupt) -> Result<Results> {
    let dir = tempfile::Builder::new().prefix("rt-bench.").tempdir().context("no temporary directory")?;
    let bench = Bench { binaries, dir: dir.path(), interrupt };
    let mut results = Results { machine: machine(options)?, formation: Vec::new(), creation: Vec::new() };
    for number in 1..=options.runs {
        let what = format!("request to ACTIVE, {CREATED} members, run {number}");
        results.creation.push(timed(&bench, &what, || ours::create_to_active(&bench, CREATED))?);
    }
    for nodes in options.sizes.iter().copied() {
        let mut formation = Formation { nodes, redtrove: Vec::new(), redis_cli: Vec::new() };
        for number in 1..=options.runs {
            let run = timed(&bench, &format!("{nodes} nodes, run {number}, redtrove"), || ours::form(&bench, nodes))?;
            formation.redtrove.push(run);
            let run = timed(&bench, &format!("{nodes} nodes, run {number}, redis-cli"), || peer::form(&bench, nodes))?;
            formation.redis_cli.push(run);
        }
        say::note(&format!("  {nodes} nodes: {:.1} times faster", formation.factor()));
        results.formation.push(formation);
    }
    Ok(results)
}

fn timed(bench: &Bench<'_>, what: &str, run: impl FnOnce() -> Result<Duration>) -> Result<Run> {
    let load = Load::when_quiet(bench)?;
    let took = run().with_context(|| format!("{what} failed"))?;
    let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
    say::note(&format!("  {what}: {seconds:.3} s ({load})"));
    Ok(Run { seconds, load })
}

fn machine(options: &FormationOptions) -> Result<Machine> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim().to_owned()))
    };
    let memory = field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
    let kilobytes: u64 = memory.trim_end_matches(" kB").parse().context("/proc/meminfo tells no size")?;
    let server = find_program("redis-server").context("no redis-server here")?;
    let said = std::process::Command::new(server).arg("--version").output().context("cannot run redis-server")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(Machine {
        cores: std::thread::available_parallelism().context("no number of cores")?.get(),
        processor: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown processor".to_owned()),
        memory_gb: kilobytes.div_ceil(1 << 20),
        redis: said.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned(),
        profile: options.profile.name().to_owned(),
    })
}
