//! What was measured, as it is kept beside the documentation.

use serde::{Deserialize, Serialize};

use super::memory::Resident;
use super::operation::Operation;
use super::wrk::Answers;
use crate::bench::load::Load;
use crate::bench::machine::Machine;

/// Everything that a run of the benchmark found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    /// How many clusters the database of `seeded` held.
    pub(super) clusters: u32,
    /// How long a write of 4 KiB takes until it is on the disk, the median. Milliseconds.
    pub(super) sync_ms: f64,
    /// On a seeded database, the taskmanager stopped.
    pub(super) seeded: Vec<Table>,
    /// Lists of databases of several sizes.
    pub(super) sizes: Vec<Size>,
    /// With real clusters and the taskmanager running.
    pub(super) real: Option<Real>,
    pub(super) memory: Vec<Memory>,
    pub(super) starts: Vec<Start>,
}

/// Who checks the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tokens {
    Static,
    Keystone,
}

impl Tokens {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Static => "static tokens",
            Self::Keystone => "tokens of Keystone",
        }
    }
}

/// All operations with one kind of tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) tokens: Tokens,
    pub(super) rows: Vec<Row>,
}

/// One operation at one number of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) operation: Operation,
    pub(super) connections: u32,
    pub(super) answers: Answers,
    pub(super) load: Load,
}

/// Lists of one database at one number of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Size {
    pub(super) clusters: u32,
    pub(super) connections: u32,
    /// The sizes take turns.
    pub(super) runs: Vec<Answers>,
}

/// Real clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Real {
    pub(super) clusters: usize,
    /// From the first request to the last cluster ACTIVE. Seconds.
    pub(super) built_in: f64,
    pub(super) rows: Vec<Row>,
}

/// What a daemon holds in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) daemon: Daemon,
    pub(super) when: String,
    /// Whether this is what the limits are for.
    pub(super) at_rest: bool,
    pub(super) resident: Resident,
}

/// One of the three programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Daemon {
    Api,
    Taskmanager,
    Guestagent,
}

impl Daemon {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Api => "redtrove-api",
            Self::Taskmanager => "redtrove-taskmanager",
            Self::Guestagent => "redtrove-guestagent",
        }
    }
}

/// From the start of a program to its word that it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) daemon: Daemon,
    /// Each run. Milliseconds.
    pub(super) ms: Vec<f64>,
}

/// The middle one; of an even number the lower of the two in the middle. Zero of none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

impl Size {
    pub(super) fn per_second(&self) -> f64 {
        median(self.runs.iter().map(Answers::per_second))
    }

    pub(super) fn p50_ms(&self) -> f64 {
        median(self.runs.iter().map(|answers| answers.p50_ms))
    }

    pub(super) fn p99_ms(&self) -> f64 {
        median(self.runs.iter().map(|answers| answers.p99_ms))
    }
}

impl Results {
    /// The sizes at one number of connections, in their order.
    pub(super) fn sizes_at(&self, connections: u32) -> Vec<&Size> {
        self.sizes.iter().filter(|size| size.connections == connections).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        Answers, Daemon, Load, Machine, Memory, Operation, Resident, Results, Row, Size, Table, Tokens, median,
    };

    /// Results in which a second has room for `rate` requests, every p99 is `p99_ms`, a list of many clusters costs
    /// 1.6 times more if that is slow, and the API holds `rss_mb`.
    pub(in crate::bench::api) fn results(rate: f64, p99_ms: f64, rss_mb: f64) -> Results {
        let load = Load { average: 0.25, busy: 2.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of a test")]
        let answers =
            |rate: f64| Answers { requests: (rate * 4.0) as u64, seconds: 4.0, p50_ms: 0.5, p99_ms, most_ms: p99_ms };
        let row = |operation, connections| Row { operation, connections, answers: answers(rate), load };
        let rows = vec![row(Operation::List, 1), row(Operation::Show, 16), row(Operation::Delete, 1)];
        let factor = if p99_ms > 50.0 { 1.6 } else { 1.0 };
        let size = |clusters, rate| Size { clusters, connections: 1, runs: vec![answers(rate); 3] };
        let resident = Resident { rss_mb, pss_mb: rss_mb / 2.0 };
        Results {
            machine: Machine::sample(),
            clusters: 1_000,
            sync_ms: 0.5,
            seeded: vec![Table { tokens: Tokens::Static, rows }],
            sizes: vec![size(100, 1_600.0), size(10_000, 1_600.0), size(100_000, 1_600.0 / factor)],
            real: None,
            memory: vec![
                Memory { daemon: Daemon::Api, when: "just started".to_owned(), at_rest: true, resident },
                Memory { daemon: Daemon::Api, when: "under load".to_owned(), at_rest: false, resident },
            ],
            starts: vec![super::Start { daemon: Daemon::Api, ms: vec![12.0, 11.0, 13.0] }],
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median([]), 0.0);
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let written = results(1_000.0, 1.0, 10.0);
        let text = serde_json::to_string(&written).expect("JSON");
        assert_eq!(serde_json::from_str::<Results>(&text).expect("results"), written);
    }
}
