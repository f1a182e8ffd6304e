//! docs/failure-matrix.md, written from results.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cell::{Cell, Operation, Victim};
use crate::matrix::uncovered;
use crate::results::{Line, Verdict};
use crate::trial::{Outcome, Seen};

/// What stands above the tables.
const HEAD: &str = include_str!("page_head.md");

/// The run that the page is written after.
pub(crate) struct Run {
    pub(crate) took: Duration,
    pub(crate) lanes: usize,
    /// The mark of its programs.
    pub(crate) programs: String,
}

/// Writes the page; `all` are the cells that there are.
pub(crate) fn write(path: &Path, all: &[Cell], results: &BTreeMap<Cell, Line>, run: &Run) -> Result<()> {
    let text = text(all, results, run);
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn text(all: &[Cell], results: &BTreeMap<Cell, Line>, run: &Run) -> String {
    let mut text = HEAD.to_owned();
    let lines: Vec<&Line> = all.iter().filter_map(|cell| results.get(cell)).collect();
    let well: Vec<&Seen> = lines.iter().filter_map(|line| seen(line)).collect();
    let hit: Vec<&Seen> = well.iter().copied().filter(|seen| seen.is_hit()).collect();
    let count = |what: fn(&Verdict) -> bool| lines.iter().filter(|line| what(&line.verdict)).count();
    let broken = count(|verdict| matches!(verdict, Verdict::Broken { .. }));
    let not_run = count(|verdict| matches!(verdict, Verdict::NotRun(_)));
    let finished = hit.iter().filter(|seen| seen.outcome == Outcome::Finished).count();
    let failed = hit.len() - finished;
    let inside = hit.iter().filter(|seen| seen.inside).count();
    let owners = hit.iter().filter(|seen| seen.owner).count();
    let same = lines.iter().filter(|line| line.programs == run.programs).count();
    let keys: usize = well.iter().map(|seen| seen.keys).sum();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {value} |");
    };
    row("cells of the matrix", all.len().to_string());
    row("ended well", hit.len().to_string());
    row("… of these the operation finished", finished.to_string());
    row("… it failed with a clear fault", failed.to_string());
    row("nobody was there to be hit, or the step was not taken", (well.len() - hit.len()).to_string());
    row("broken", broken.to_string());
    row("not run", (all.len() - lines.len() + not_run).to_string());
    row("hit while the step was still running", inside.to_string());
    row("hit a member that had owned slots and keys before", owners.to_string());
    row("acknowledged writes that were read back", keys.to_string());
    row("run with the programs of the last run", same.to_string());
    row("the last run", format!("{} minutes, {} cells at a time", run.took.as_secs().div_ceil(60), run.lanes));

    text.push_str("\n## Recovery\n\nFrom the accident until everything is whole again, seconds.\n\n");
    text.push_str("| accident to | cells | median | worst |\n|---|---|---|---|\n");
    for victim in Victim::ALL {
        for accident in victim.accidents() {
            let of = |line: &&&Line| line.cell.victim == victim && line.cell.accident == *accident;
            let times = times(lines.iter().filter(of).filter_map(|line| seen(line)).filter(|seen| seen.is_hit()));
            let _ = writeln!(text, "| {} {} | {} |", victim.name(), accident.name(), summary(&times));
        }
    }
    let _ = writeln!(text, "| **all** | {} |", summary(&times(hit.iter().copied())));
    for operation in Operation::ALL {
        table(&mut text, operation, all, results);
    }
    let uncovered = uncovered(all, lines.iter().copied());
    if !uncovered.is_empty() {
        text.push_str(
            "\n## Steps seen that no column covers\n\nTaken after an accident, and not in calm; in so many cells.\n\n",
        );
        for (step, cells) in uncovered {
            let _ = writeln!(text, "- `{step}`: {cells}");
        }
    }
    if broken > 0 {
        text.push_str("\n## Broken\n\n");
        for line in &lines {
            if let Verdict::Broken { why, .. } = &line.verdict {
                let first = why.lines().next().unwrap_or_default();
                let _ = writeln!(text, "- `{}`: {first}", line.cell);
            }
        }
    }
    text
}

fn seen(line: &Line) -> Option<&Seen> {
    match &line.verdict {
        Verdict::Well(seen) => Some(seen),
        Verdict::Broken { .. } | Verdict::NotRun(_) => None,
    }
}

fn times<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<u64> {
    let mut times: Vec<u64> = seen.map(|seen| seen.whole_ms).collect();
    times.sort_unstable();
    times
}

/// Count, median and worst of sorted milliseconds.
fn summary(times: &[u64]) -> String {
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(worst)) => format!("{} | {} | {}", times.len(), seconds(*median), seconds(*worst)),
        _ => "0 | – | –".to_owned(),
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.1}", Duration::from_millis(ms).as_secs_f64())
}

fn table(text: &mut String, operation: Operation, all: &[Cell], results: &BTreeMap<Cell, Line>) {
    let mut steps: Vec<&str> = Vec::new();
    for cell in all.iter().filter(|cell| cell.operation == operation) {
        if !steps.contains(&cell.step.as_str()) {
            steps.push(&cell.step);
        }
    }
    let _ = writeln!(text, "\n## {}\n", capital(operation.name()));
    let _ = writeln!(text, "| accident to | {} |", steps.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(steps.len()));
    for victim in Victim::of(operation) {
        for accident in victim.accidents() {
            let _ = write!(text, "| {} {} |", victim.name(), accident.name());
            for step in &steps {
                let cell = Cell { operation, step: (*step).to_owned(), victim, accident: *accident };
                let _ = write!(text, " {} |", results.get(&cell).map_or_else(|| "not run".to_owned(), word));
            }
            text.push('\n');
        }
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn word(line: &Line) -> String {
    match &line.verdict {
        Verdict::Broken { .. } => "**broken**".to_owned(),
        Verdict::NotRun(_) => "not run".to_owned(),
        Verdict::Well(seen) => match &seen.outcome {
            Outcome::Finished => seconds(seen.whole_ms),
            Outcome::Failed(_) => format!("fault {}", seconds(seen.whole_ms)),
            Outcome::NoVictim => "nobody".to_owned(),
            Outcome::NotReached => "not taken".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_run_is_never_shown_as_passed() {
        let all = Cell::of(Operation::Delete, &["destroy".to_owned()]);
        let seen = Seen {
            outcome: Outcome::Finished,
            inside: true,
            owner: true,
            ended_ms: 900,
            whole_ms: 1_240,
            attempts: 2,
            keys: 7,
            steps: ["destroy", "wait_gone"].map(str::to_owned).into(),
        };
        let mut results = BTreeMap::new();
        let mut put = |cell: &str, verdict| {
            let cell: Cell = cell.parse().unwrap();
            results.insert(cell.clone(), Line { cell, verdict, took_ms: 1, programs: "this".to_owned() });
        };
        put("delete/destroy/agent/kill", Verdict::Well(seen));
        put("delete/destroy/node-node/cut", Verdict::NotRun("no right".to_owned()));
        put("delete/destroy/api/kill", Verdict::Broken { why: "lost\nmore".to_owned(), files: String::new() });
        let run = Run { took: Duration::from_secs(61), lanes: 3, programs: "this".to_owned() };
        let text = text(&all, &results, &run);
        for line in [
            "| cells of the matrix | 21 |",
            "| ended well | 1 |",
            "| broken | 1 |",
            "| not run | 19 |",
            "| hit a member that had owned slots and keys before | 1 |",
            "| run with the programs of the last run | 3 |",
            "- `delete/wait_gone`: 1",
            "| agent kill | 1 | 1.2 | 1.2 |",
            "| agent kill | 1.2 |",
            "| node-node cut | not run |",
            "| api stop | not run |",
            "| api kill | **broken** |",
            "- `delete/destroy/api/kill`: lost",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
