//! What was measured, as it is kept beside the documentation.

use serde::{Deserialize, Serialize};

use crate::bench::load::Load;
use crate::bench::machine::Machine;

/// The sizes of a whole run.
pub(crate) const SIZES: [usize; 5] = [3, 6, 30, 60, 100];
/// The runs of each side and size of a whole run.
pub(crate) const RUNS: usize = 5;

/// Everything that a run of the benchmark found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    /// In the order of sizes.
    pub(super) formation: Vec<Formation>,
    /// Create request to ACTIVE, three members.
    pub(super) creation: Vec<Run>,
}

/// Both sides at one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Formation {
    pub(super) nodes: usize,
    pub(super) redtrove: Vec<Run>,
    pub(super) redis_cli: Vec<Run>,
}

/// One run of one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Rounded to milliseconds, as the step log is.
    pub(super) seconds: f64,
    pub(super) load: Load,
}

impl Formation {
    /// How many times faster redtrove is, by the medians.
    pub(super) fn factor(&self) -> f64 {
        median(&self.redis_cli) / median(&self.redtrove).max(0.001)
    }
}

/// The middle one; of an even number, the mean of the two in the middle. Zero of none.
pub(super) fn median(runs: &[Run]) -> f64 {
    let times = sorted(runs);
    let middle = times.len() / 2;
    match (times.get(middle.wrapping_sub(1)), times.get(middle)) {
        (Some(lower), Some(upper)) if times.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (_, Some(middle)) => *middle,
        _ => 0.0,
    }
}

/// The times, shortest first.
pub(super) fn sorted(runs: &[Run]) -> Vec<f64> {
    let mut times: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Formation, Load, Machine, Results, Run, median};

    pub(in crate::bench::formation) fn runs(seconds: &[f64]) -> Vec<Run> {
        let load = Load { average: 0.25, busy: 2.0 };
        seconds.iter().map(|seconds| Run { seconds: *seconds, load }).collect()
    }

    /// Results in which redtrove is `factor` times faster at every one of `sizes`.
    pub(in crate::bench::formation) fn results(sizes: &[usize], factor: f64, creation: f64) -> Results {
        let size = |nodes: &usize| Formation {
            nodes: *nodes,
            redtrove: runs(&[0.5, 0.6, 0.4]),
            redis_cli: runs(&[0.5 * factor, 0.6 * factor, 0.4 * factor]),
        };
        Results { machine: Machine::sample(), formation: sizes.iter().map(size).collect(), creation: runs(&[creation]) }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&runs(&[9.0, 1.0, 2.0])), 2.0);
        assert_eq!(median(&runs(&[4.0, 1.0, 2.0, 9.0])), 3.0);
        assert_eq!(median(&runs(&[4.0])), 4.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let written = results(&[3, 6], 10.0, 2.25);
        let text = serde_json::to_string(&written).expect("JSON");
        assert_eq!(serde_json::from_str::<super::Results>(&text).expect("results"), written);
    }
}
