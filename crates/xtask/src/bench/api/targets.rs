//! What Trove was measured at elsewhere, what is aimed for, and what has been missed.

use super::operation::Operation;
use super::results::{Daemon, Memory, Results, Row, Size, Table, Tokens};
use super::{CONNECTIONS, SIZES};

/// Trove 26.0 on a machine of the same kind (two cores), with its own SQL database and message broker. Requests a
/// second, from the least to the most that was seen. Measured once, elsewhere: no part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peer {
    pub(super) least: f64,
    pub(super) most: f64,
    /// How many times faster redtrove is to be.
    pub(super) times: f64,
}

/// Trove's numbers for an operation; nobody has measured its delete.
pub(super) fn peer(operation: Operation) -> Option<Peer> {
    match operation {
        Operation::List => Some(Peer { least: 0.5, most: 0.5, times: 1000.0 }),
        Operation::Show => Some(Peer { least: 10.0, most: 22.0, times: 300.0 }),
        Operation::ShowInstance => Some(Peer { least: 42.0, most: 80.0, times: 100.0 }),
        Operation::Create => Some(Peer { least: 1.4, most: 4.8, times: 100.0 }),
        Operation::Delete => None,
    }
}

/// Requests a second that are aimed for: so many times Trove's least with one connection, its most with several.
pub(super) fn aim(operation: Operation, connections: u32) -> Option<f64> {
    let Peer { least, most, times } = peer(operation)?;
    Some(times * if connections == 1 { least } else { most })
}

/// A list of this many clusters answers 99 of 100 requests within [`LIST_P99_MS`].
pub(super) const LISTED: u32 = 10_000;
pub(super) const LIST_P99_MS: f64 = 50.0;
/// A list of the largest database may cost this many times what one of the smallest costs.
pub(super) const LIST_RATIO: f64 = 1.5;

/// The most that a daemon may hold at rest. MB.
pub(super) fn limit_mb(daemon: Daemon) -> f64 {
    match daemon {
        Daemon::Api => 30.0,
        Daemon::Taskmanager => 40.0,
        Daemon::Guestagent => 15.0,
    }
}

/// How many times more a list costs with the most clusters than with the fewest: by the rates. None if that was not
/// measured.
pub(super) fn list_ratio(results: &Results, connections: u32) -> Option<f64> {
    let sizes = results.sizes_at(connections);
    let of = |clusters| sizes.iter().find(|size| size.clusters == clusters).map(|size| size.per_second());
    Some(of(*SIZES.first()?)? / of(*SIZES.last()?)?.max(0.001))
}

/// One sentence for each target that was missed.
pub(super) fn missed(results: &Results) -> Vec<String> {
    let rows = results.seeded.iter().flat_map(|Table { tokens, rows }| rows.iter().map(move |row| (*tokens, row)));
    let mut missed: Vec<String> = rows.filter_map(|(tokens, row)| slow(tokens, row)).collect();
    missed.extend(CONNECTIONS.into_iter().filter_map(|connections| {
        let ratio = list_ratio(results, connections).filter(|ratio| *ratio >= LIST_RATIO)?;
        Some(format!("a list at {connections} costs {ratio:.2} times more with the most clusters, not {LIST_RATIO}"))
    }));
    missed.extend(results.sizes.iter().filter_map(late));
    missed.extend(results.memory.iter().filter_map(fat));
    missed
}

fn slow(tokens: Tokens, row: &Row) -> Option<String> {
    let (operation, connections, rate) = (row.operation.name(), row.connections, row.answers.per_second());
    let aim = aim(row.operation, connections).filter(|aim| rate < *aim)?;
    Some(format!("{operation} at {connections} with {} serves {rate:.0}/s, not {aim:.0}", tokens.name()))
}

fn late(size: &Size) -> Option<String> {
    let (connections, p99) = (size.connections, size.p99_ms());
    let late = size.clusters == LISTED && p99 >= LIST_P99_MS;
    late.then(|| format!("a list of {LISTED} clusters at {connections} has a p99 of {p99:.1} ms, not {LIST_P99_MS}"))
}

fn fat(memory: &Memory) -> Option<String> {
    let (daemon, rss) = (memory.daemon, memory.resident.rss_mb);
    let limit = limit_mb(daemon);
    let fat = memory.at_rest && rss > limit;
    fat.then(|| format!("{} holds {rss:.1} MB at rest ({}), not {limit:.0}", daemon.name(), memory.when))
}

#[cfg(test)]
mod tests {
    use super::super::operation::Operation;
    use super::super::results::tests::results;
    use super::{aim, missed};

    #[test]
    fn the_aim_rises_with_the_connections_where_troves_did() {
        assert_eq!([1, 16].map(|connections| aim(Operation::List, connections)), [Some(500.0), Some(500.0)]);
        assert_eq!([1, 16].map(|connections| aim(Operation::Show, connections)), [Some(3000.0), Some(6600.0)]);
        assert_eq!(aim(Operation::Delete, 1), None);
    }

    #[test]
    fn a_target_that_is_met_is_not_missed() {
        assert_eq!(missed(&results(10_000.0, 1.0, 10.0)), Vec::<String>::new());
    }

    #[test]
    fn each_missed_target_is_named() {
        assert_eq!(
            missed(&results(400.0, 60.0, 31.0)),
            [
                "list, 20 a page at 1 with static tokens serves 400/s, not 500",
                "show at 16 with static tokens serves 400/s, not 6600",
                "a list at 1 costs 1.60 times more with the most clusters, not 1.5",
                "a list of 10000 clusters at 1 has a p99 of 60.0 ms, not 50",
                "redtrove-api holds 31.0 MB at rest (just started), not 30",
            ]
        );
    }
}
