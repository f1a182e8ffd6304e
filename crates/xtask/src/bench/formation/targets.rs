//! What has to be reached, and what has been missed.

use super::results::{Formation, Results, median};

/// How many times faster than its peer a formation has to be, and should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    pub(super) at_least: f64,
    pub(super) aim: f64,
}

/// Create request to ACTIVE for three local members has to be under this. Seconds.
pub(super) const CREATION: f64 = 3.5;

/// Up to 30 nodes Redis' own waits are the limit; a hundred share the cores of one machine.
pub(super) fn target(nodes: usize) -> Option<Target> {
    match nodes {
        3 | 6 | 30 => Some(Target { at_least: 6.0, aim: 9.0 }),
        60 => Some(Target { at_least: 3.0, aim: 5.0 }),
        100 => Some(Target { at_least: 1.5, aim: 2.0 }),
        _ => None,
    }
}

/// One sentence for each target that was missed.
pub(super) fn missed(results: &Results) -> Vec<String> {
    let slow = |formation: &Formation| {
        let (nodes, factor) = (formation.nodes, formation.factor());
        let target = target(nodes).filter(|target| factor < target.at_least)?;
        Some(format!("{nodes} nodes form {factor:.1} times faster than with redis-cli, not {}", target.at_least))
    };
    let mut missed: Vec<String> = results.formation.iter().filter_map(slow).collect();
    let creation = median(&results.creation);
    if creation >= CREATION {
        missed.push(format!("a cluster of three is ACTIVE {creation:.2} s after its request, not under {CREATION} s"));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::results;
    use super::missed;

    #[test]
    fn a_target_that_is_met_is_not_missed() {
        assert!(missed(&results(&[3, 6, 30, 60, 100], 6.1, 3.4)).is_empty());
    }

    #[test]
    fn each_missed_target_is_named() {
        let slow = missed(&results(&[3, 4, 60, 100], 2.0, 3.5));
        assert_eq!(
            slow,
            [
                "3 nodes form 2.0 times faster than with redis-cli, not 6",
                "60 nodes form 2.0 times faster than with redis-cli, not 3",
                "a cluster of three is ACTIVE 3.50 s after its request, not under 3.5 s",
            ]
        );
    }
}
