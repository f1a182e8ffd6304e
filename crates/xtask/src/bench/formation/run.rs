//! The order of the runs.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::results::{Formation, Results, Run};
use super::{ours, peer};
use crate::bench::Bench;
use crate::bench::load::Load;
use crate::bench::machine::Machine;
use crate::cli::FormationOptions;
use crate::say;

/// The members of the cluster whose whole creation is timed.
const CREATED: usize = 3;

/// Measures everything; the two sides take turns, so that whatever else the machine does hits both.
pub(super) fn measure(options: &FormationOptions, bench: &Bench<'_>) -> Result<Results> {
    let machine = Machine::look(options.build.profile)?;
    let mut results = Results { machine, formation: Vec::new(), creation: Vec::new() };
    for number in 1..=options.runs {
        let what = format!("request to ACTIVE, {CREATED} members, run {number}");
        results.creation.push(timed(bench, &what, || ours::create_to_active(bench, CREATED))?);
    }
    for nodes in options.sizes.iter().copied() {
        let mut formation = Formation { nodes, redtrove: Vec::new(), redis_cli: Vec::new() };
        for number in 1..=options.runs {
            let run = timed(bench, &format!("{nodes} nodes, run {number}, redtrove"), || ours::form(bench, nodes))?;
            formation.redtrove.push(run);
            let run = timed(bench, &format!("{nodes} nodes, run {number}, redis-cli"), || peer::form(bench, nodes))?;
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
