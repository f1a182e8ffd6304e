//! Tables, and the part of docs/performance.md that belongs to this benchmark.

use std::fmt::Write as _;

use super::plot;
use super::results::{Formation, Results, Run, median, sorted};
use super::targets::{CREATION, missed, target};
use crate::bench::page::Section;

/// What the documentation shows of the results.
pub(super) fn section(results: &Results) -> Section<'static> {
    let mut text = results.machine.sentence();
    text.push_str("\n\n![Time until all nodes of a new cluster agree](performance/formation.svg)\n\n");
    text.push_str(&tables(results));
    text.push_str("\nEvery run, in order, with the load of the machine just before it:\n\n");
    text.push_str("| what | run | seconds | load average | cores busy |\n|---|--:|--:|--:|--:|\n");
    rows(&mut text, "request to ACTIVE, 3 members", &[("redtrove", &results.creation)]);
    for formation in &results.formation {
        let sides = [("redtrove", &formation.redtrove), ("redis-cli", &formation.redis_cli)];
        rows(&mut text, &format!("{} nodes", formation.nodes), &sides);
    }
    Section { name: "formation", text, picture: plot::draw(results) }
}

/// One row for each run, the sides in turn.
fn rows(text: &mut String, what: &str, sides: &[(&str, &Vec<Run>)]) {
    let longest = sides.iter().map(|(_, runs)| runs.len()).max().unwrap_or(0);
    for number in 0..longest {
        for (side, runs) in sides {
            let Some(Run { seconds, load }) = runs.get(number) else { continue };
            let (run, average, busy) = (number + 1, load.average, load.busy);
            let _ = writeln!(text, "| {what}, {side} | {run} | {seconds:.3} | {average:.2} | {busy:.0} % |");
        }
    }
}

/// The result: medians, and how they stand to the targets.
pub(super) fn tables(results: &Results) -> String {
    let mut text = String::from(
        "| nodes | redtrove, s | redis-cli, s | times faster | at least | aim |\n|--:|--:|--:|--:|--:|--:|\n",
    );
    for formation in &results.formation {
        let _ = writeln!(text, "{}", row(formation));
    }
    let spread = spread(&results.creation);
    let _ = writeln!(text, "\nCreate request to ACTIVE, 3 members: {spread} s; to be under {CREATION} s.");
    text.push_str("Times are medians, in brackets the shortest and the longest.\n");
    match missed(results).as_slice() {
        [] => text.push_str("\nEvery target is met.\n"),
        missed => {
            let _ = writeln!(text, "\n**Missed**: {}.", missed.join("; "));
        }
    }
    text
}

fn row(formation: &Formation) -> String {
    let (ours, peer) = (spread(&formation.redtrove), spread(&formation.redis_cli));
    let (nodes, factor) = (formation.nodes, formation.factor());
    let (at_least, aim) =
        target(nodes).map_or_else(Default::default, |target| (target.at_least.to_string(), target.aim.to_string()));
    format!("| {nodes} | {ours} | {peer} | **{factor:.1}** | {at_least} | {aim} |")
}

fn spread(runs: &[Run]) -> String {
    let times = sorted(runs);
    let (first, last) = (times.first().copied().unwrap_or(0.0), times.last().copied().unwrap_or(0.0));
    format!("{:.2} ({first:.2} to {last:.2})", median(runs))
}

#[cfg(test)]
mod tests {
    use super::super::results::Results;
    use super::super::results::tests::results;
    use super::{section, tables};
    use crate::bench::page::tests::check_documented;

    #[test]
    fn page_plot_and_numbers_belong_together() {
        check_documented("formation", |results: &Results| section(results));
    }

    #[test]
    fn the_table_shows_medians_spread_and_targets() {
        let shown = tables(&results(&[3, 7], 7.0, 2.0));
        assert!(shown.contains("| 3 | 0.50 (0.40 to 0.60) | 3.50 (2.80 to 4.20) | **7.0** | 6 | 9 |"), "{shown}");
        assert!(shown.contains("| **7.0** |  |  |"), "a size without target: {shown}");
        assert!(shown.contains("3 members: 2.00 (2.00 to 2.00) s; to be under 3.5 s"), "{shown}");
        assert!(shown.contains("Every target is met"), "{shown}");
        assert!(tables(&results(&[3], 5.0, 2.0)).contains("**Missed**: 3 nodes form 5.0 times faster"));
    }
}
