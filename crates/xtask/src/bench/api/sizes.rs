//! Whether a list costs the same however many clusters there are: the same load on databases of several sizes, in turn.

use std::time::Duration;

use anyhow::Result;
use redtrove_testkit::Stack;
use redtrove_testkit::stack::Bus;

use super::database::{self, Ids};
use super::memory::Resident;
use super::operation::Operation;
use super::results::{Size, Tokens};
use super::seeded::{Measurement, start_stack, stop};
use super::{CONNECTIONS, ROUNDS, SIZES};
use crate::bench::Bench;
use crate::cli::ApiOptions;
use crate::say;

pub(super) fn measure(bench: &Bench<'_>, options: &ApiOptions) -> Result<Vec<Size>> {
    let sized = |clusters: u32| -> Result<(Stack, Vec<Ids>)> {
        say::note(&format!("  {clusters} clusters"));
        let stack = start_stack(bench, &format!("sized-{clusters}"), Bus::None, Tokens::Static)?;
        stop(&stack, "taskmanager")?;
        database::seed(&stack, clusters)?;
        let ids = database::ready(&stack)?;
        Ok((stack, ids))
    };
    let stacks: Vec<(Stack, Vec<Ids>)> = SIZES.into_iter().map(sized).collect::<Result<_>>()?;
    let size = |connections| SIZES.map(|clusters| Size { clusters, connections, runs: Vec::new() });
    let mut sizes: Vec<Size> = CONNECTIONS.into_iter().flat_map(size).collect();
    let length = Duration::from_secs(options.seconds);
    for _ in 0..ROUNDS {
        for (size, (stack, ids)) in sizes.iter_mut().zip(stacks.iter().cycle()) {
            let mut measurement = Measurement { bench, stack, length, most: Resident::default() };
            size.runs.push(measurement.answers(size.connections, Operation::List.requests(stack, ids)?)?);
        }
    }
    for size in &sizes {
        let (clusters, connections, rate) = (size.clusters, size.connections, size.per_second());
        say::note(&format!("  {clusters} clusters, {connections}: {rate:.0}/s, p99 {:.2} ms", size.p99_ms()));
    }
    stacks.into_iter().try_for_each(|(stack, _)| stack.end())?;
    Ok(sizes)
}
