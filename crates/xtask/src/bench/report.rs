//! Tables, and the part of docs/performance.md that belongs to this benchmark.
//!
//! The numbers are kept as JSON beside the page; page and plot are made of them, and a test holds the three together.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::plot;
use super::results::{Formation, Results, Run, median, sorted};
use super::targets::{CREATION, missed, target};

const BEGIN: &str = "<!-- bench formation: begin; written by `cargo xtask bench formation` -->\n";
const END: &str = "<!-- bench formation: end -->\n";

fn page(docs: &Path) -> PathBuf {
    docs.join("performance.md")
}

fn numbers(docs: &Path) -> PathBuf {
    docs.join("performance/formation.json")
}

fn picture(docs: &Path) -> PathBuf {
    docs.join("performance/formation.svg")
}

/// Puts results into the documentation.
pub(super) fn write(docs: &Path, results: &Results) -> Result<()> {
    let text = fs::read_to_string(page(docs)).context("no page to write to")?;
    let replaced = replace(&text, &section(results))?;
    fs::create_dir_all(docs.join("performance")).context("no place for the numbers")?;
    for (path, text) in [
        (numbers(docs), serde_json::to_string_pretty(results).context("cannot write the numbers")? + "\n"),
        (picture(docs), plot::draw(results)),
        (page(docs), replaced),
    ] {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The page with another section between its marks; the prose around it stays.
fn replace(page: &str, section: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("docs/performance.md has no begin of this benchmark")?;
    let (_, after) = rest.split_once(END).context("docs/performance.md has no end of this benchmark")?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

/// What stands between the marks.
fn section(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "Measured on {} cores ({}), {} GB of memory, Redis {}, {} build.\n\n\
         ![Time until all nodes of a new cluster agree](performance/formation.svg)\n\n",
        machine.cores, machine.processor, machine.memory_gb, machine.redis, machine.profile
    );
    text.push_str(&tables(results));
    text.push_str("\nEvery run, in order, with the load of the machine just before it:\n\n");
    text.push_str("| what | run | seconds | load average | cores busy |\n|---|--:|--:|--:|--:|\n");
    rows(&mut text, "request to ACTIVE, 3 members", &[("redtrove", &results.creation)]);
    for formation in &results.formation {
        let sides = [("redtrove", &formation.redtrove), ("redis-cli", &formation.redis_cli)];
        rows(&mut text, &format!("{} nodes", formation.nodes), &sides);
    }
    text
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
    use std::fs;

    use super::{BEGIN, END, numbers, page, picture, replace, section, tables, write};
    use crate::bench::docs;
    use crate::bench::plot;
    use crate::bench::results::Results;
    use crate::bench::results::tests::results;

    #[test]
    fn page_plot_and_numbers_belong_together() {
        let docs = docs();
        let text = fs::read_to_string(numbers(&docs)).expect("numbers");
        let results: Results = serde_json::from_str(&text).expect("results");
        assert_eq!(fs::read_to_string(picture(&docs)).expect("a plot"), plot::draw(&results));
        let shown = fs::read_to_string(page(&docs)).expect("a page");
        assert_eq!(replace(&shown, &section(&results)).expect("marks"), shown, "the page shows other numbers");
    }

    #[test]
    fn prose_around_the_section_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = |inside: &str| format!("# Before\n\n{BEGIN}{inside}{END}\nAfter.\n");
        fs::write(page(dir.path()), text("old\n")).expect("written");
        let new = results(&[3], 7.0, 2.0);
        write(dir.path(), &new).expect("written");
        assert_eq!(fs::read_to_string(page(dir.path())).expect("the page"), text(&section(&new)));
        let kept = fs::read_to_string(numbers(dir.path())).expect("numbers");
        assert_eq!(serde_json::from_str::<Results>(&kept).expect("results"), new);
        assert!(replace("no marks", "x").is_err());
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
