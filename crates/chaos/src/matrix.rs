//! Running the matrix, or a part of it, on several lanes side by side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use redtrove_testkit::stack::Binaries;

use crate::cell::{Cell, Operation};
use crate::chance::Chance;
use crate::lane::{Answer, Order};
use crate::results::{self, Line, Verdict};
use crate::trial::Outcome;
use crate::{network, note, page};

/// How many cells share one wait for debts and one look for what is left.
const BATCH: usize = 8;

/// Which part of the matrix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// Only cells whose name holds this.
    pub(crate) only: Option<String>,
    /// Cells before this one are left out.
    pub(crate) from: Option<String>,
    /// Cells that have ended well before, with the same programs, are left out.
    pub(crate) resume: bool,
    /// No cell begins after this time.
    pub(crate) within: Option<Duration>,
    /// Where the order of cells comes from; without it they come in the order of the matrix.
    pub(crate) seed: Option<u64>,
    /// At most so many cells, half of which have to be run in time.
    pub(crate) most: Option<usize>,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The directory with our three programs.
    pub(crate) binaries: PathBuf,
    /// Where stacks live; files of broken cells stay there.
    pub(crate) dir: PathBuf,
    /// Where results are kept.
    pub(crate) results: PathBuf,
    /// How many lanes.
    pub(crate) lanes: usize,
    /// Which cells.
    pub(crate) part: Part,
    /// The page to be written, from all results there are.
    pub(crate) page: Option<PathBuf>,
}

/// Runs what is wanted; an error if a promise was broken.
pub(crate) fn run(wanted: &Wanted) -> Result<()> {
    std::fs::create_dir_all(&wanted.dir).with_context(|| format!("cannot make {}", wanted.dir.display()))?;
    let obstacle = network::obstacle();
    if let Some(why) = &obstacle {
        note(&format!("the network rows are not run: network namespaces cannot be made here ({why})"));
    }
    let begun = Instant::now();
    let mut first = LaneProcess::start(wanted, 1, obstacle.is_none())?;
    let steps = discover(&mut first)?;
    for operation in Operation::ALL {
        let names = steps.get(operation.name()).context("an operation without steps")?;
        note(&format!("{}: {}", operation.name(), names.join(", ")));
    }
    let all: Vec<Cell> = Operation::ALL.into_iter().flat_map(|op| Cell::of(op, &steps[op.name()])).collect();
    let programs = results::mark(&Binaries::within(&wanted.binaries)?)?;
    let mut known = if wanted.part.resume { results::read(&wanted.results)? } else { BTreeMap::new() };
    known.retain(|_, line| line.programs == programs);
    let cells = choose(&all, &wanted.part, &known)?;
    note(&format!("{} of {} cells, {} at a time", cells.len(), all.len(), wanted.lanes));

    let queue = Mutex::new(batches(cells.clone(), wanted.lanes));
    let ended = Mutex::new(Vec::new());
    let progress = Progress { total: cells.len(), begun, results: &wanted.results, ended: &ended };
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for number in 2..=wanted.lanes {
            let (queue, progress, own) = (&queue, &progress, obstacle.is_none());
            threads.push(scope.spawn(move || LaneProcess::start(wanted, number, own)?.work(queue, progress, wanted)));
        }
        let mine = first.work(&queue, &progress, wanted);
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a lane broke"))??;
        }
        mine
    })?;

    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(page) = &wanted.page {
        let everything = results::read(&wanted.results)?;
        let run = page::Run { took: begun.elapsed(), lanes: wanted.lanes, programs };
        page::write(page, &all, &everything, &run)?;
        note(&format!("written: {}", page.display()));
    }
    let uncovered: Vec<String> = uncovered(&all, ended.iter()).into_keys().collect();
    if !uncovered.is_empty() {
        note(&format!("steps seen that no column covers: {}", uncovered.join(", ")));
    }
    let left_out = cells.len().saturating_sub(ended.len());
    report(&ended, left_out)?;
    ensure!(wanted.part.most.is_none() || left_out * 2 <= cells.len(), "fewer than half of the cells were run in time");
    let mut newest = known;
    newest.extend(ended.into_iter().map(|line| (line.cell.clone(), line)));
    everybody_was_hit(&all, &newest)
}

/// The steps, as `operation/step`, that were taken after an accident and are the column of no cell; each with the
/// number of cells that it was seen in.
pub(crate) fn uncovered<'a>(all: &[Cell], lines: impl Iterator<Item = &'a Line>) -> BTreeMap<String, usize> {
    let columns: BTreeSet<(Operation, &str)> = all.iter().map(|cell| (cell.operation, cell.step.as_str())).collect();
    let mut uncovered = BTreeMap::new();
    for line in lines {
        let Verdict::Well(seen) = &line.verdict else { continue };
        let operation = line.cell.operation;
        for step in seen.steps.iter().filter(|step| !columns.contains(&(operation, step.as_str()))) {
            *uncovered.entry(format!("{}/{step}", operation.name())).or_default() += 1;
        }
    }
    uncovered
}

/// Fails if a whole matrix has never found somebody to be hit in one way in an operation: then it has not looked. In
/// each there is somebody: who joins has a machine once it is prepared, and whoever leaves or is deleted had one before.
/// A part of a matrix, or one whose time was over, may not have come to where they are.
fn everybody_was_hit(all: &[Cell], results: &BTreeMap<Cell, Line>) -> Result<()> {
    let lines: Vec<&Line> = all.iter().filter_map(|cell| results.get(cell)).collect();
    if lines.len() < all.len() {
        return Ok(());
    }
    let mut ways: BTreeMap<String, bool> = BTreeMap::new();
    for line in lines {
        let Cell { operation, victim, accident, .. } = &line.cell;
        let way = format!("{}: {} {}", operation.name(), victim.name(), accident.name());
        *ways.entry(way).or_default() |= !line.verdict.is_missed();
    }
    let never: Vec<String> = ways.into_iter().filter(|(_, hit)| !hit).map(|(way, _)| way).collect();
    ensure!(never.is_empty(), "nobody was ever hit by: {}", never.join(", "));
    Ok(())
}

fn report(ended: &[Line], left_out: usize) -> Result<()> {
    let broken: Vec<&Line> = ended.iter().filter(|line| matches!(line.verdict, Verdict::Broken { .. })).collect();
    let not_run = ended.iter().filter(|line| matches!(line.verdict, Verdict::NotRun(_))).count();
    let missed = ended.iter().filter(|line| line.verdict.is_missed()).count();
    note(&format!(
        "{} cells: {} broken, {not_run} not run, in {missed} nobody was hit; {left_out} were left out for time",
        ended.len(),
        broken.len()
    ));
    if !broken.is_empty() {
        bail!(
            "a promise was broken in: {}",
            broken.iter().map(|line| line.cell.to_string()).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

/// The cells to be run, in their order.
fn choose(all: &[Cell], part: &Part, known: &BTreeMap<Cell, Line>) -> Result<Vec<Cell>> {
    let from = match &part.from {
        Some(name) => {
            let cell: Cell = name.parse()?;
            all.iter().position(|known| *known == cell).with_context(|| format!("no cell {name}"))?
        }
        None => 0,
    };
    let is_well = |cell: &Cell| known.get(cell).is_some_and(|line| matches!(line.verdict, Verdict::Well(_)));
    let is_wanted = |cell: &Cell| part.only.as_ref().is_none_or(|words| cell.to_string().contains(words.as_str()));
    let mut cells: Vec<Cell> =
        all.iter().skip(from).filter(|cell| is_wanted(cell) && !is_well(cell)).cloned().collect();
    if let Some(seed) = part.seed {
        Chance::new(seed).shuffle(&mut cells);
    }
    cells.truncate(part.most.unwrap_or(usize::MAX));
    ensure!(!cells.is_empty(), "no cell is to be run");
    Ok(cells)
}

type Batches = VecDeque<Vec<(u64, Cell)>>;

/// The fewest batches that keep all lanes at work, none larger than [`BATCH`].
fn batches(cells: Vec<Cell>, lanes: usize) -> Batches {
    let size = cells.len().div_ceil(lanes).clamp(1, BATCH);
    let numbered: Vec<(u64, Cell)> = (1..).zip(cells).collect();
    numbered.chunks(size).map(<[_]>::to_vec).collect()
}

struct Progress<'a> {
    total: usize,
    begun: Instant,
    results: &'a Path,
    ended: &'a Mutex<Vec<Line>>,
}

impl Progress<'_> {
    fn end(&self, line: Line) -> Result<()> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        results::append(self.results, &line)?;
        ended.push(line.clone());
        let (minutes, seconds) = (self.begun.elapsed().as_secs() / 60, self.begun.elapsed().as_secs() % 60);
        note(&format!("[{minutes:2}:{seconds:02}] {}/{} {}: {}", ended.len(), self.total, line.cell, words(&line)));
        Ok(())
    }
}

fn words(line: &Line) -> String {
    match &line.verdict {
        Verdict::Broken { why, files } => format!("BROKEN: {why}\n        files: {files}"),
        Verdict::NotRun(why) => format!("not run: {why}"),
        Verdict::Well(seen) => {
            let outcome = match &seen.outcome {
                Outcome::Finished => "finished".to_owned(),
                Outcome::Failed(fault) => format!("failed ({fault})"),
                Outcome::NoVictim => "nobody was there to be hit".to_owned(),
                Outcome::NotReached => "the step was not taken".to_owned(),
            };
            let hit = match (seen.is_hit(), seen.inside) {
                (true, true) => ", hit in the step",
                (true, false) => ", hit",
                (false, _) => "",
            };
            let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
            format!(
                "{outcome}{hit}, ended after {:.1} s, whole after {:.1} s, {} claims, {} keys",
                seconds(seen.ended_ms),
                seconds(seen.whole_ms),
                seen.attempts,
                seen.keys
            )
        }
    }
}

fn discover(lane: &mut LaneProcess) -> Result<BTreeMap<String, Vec<String>>> {
    note("a run of every operation in calm, for its steps");
    let mut steps = BTreeMap::new();
    lane.ask(&Order::Discover, |answer| {
        if let Answer::Steps(operation, names) = answer {
            steps.insert(operation, names);
        }
        Ok(())
    })?;
    Ok(steps)
}

/// A lane, seen from outside.
struct LaneProcess {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl LaneProcess {
    fn start(wanted: &Wanted, number: usize, own_network: bool) -> Result<Self> {
        let me = std::env::current_exe()?;
        let mut command = if own_network {
            let mut command = Command::new("unshare");
            command.arg("--net").arg(me);
            command
        } else {
            Command::new(me)
        };
        command.arg("lane").arg("--dir").arg(wanted.dir.join(format!("lane-{number}")));
        command.arg("--binaries").arg(&wanted.binaries);
        if own_network {
            command.arg("--own-network");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start a lane")?;
        let orders = child.stdin.take().context("a lane without input")?;
        let answers = BufReader::new(child.stdout.take().context("a lane without output")?);
        Ok(Self { child, orders, answers })
    }

    fn ask(&mut self, order: &Order, mut hear: impl FnMut(Answer) -> Result<()>) -> Result<()> {
        writeln!(self.orders, "{}", serde_json::to_string(order)?)?;
        loop {
            let mut line = String::new();
            ensure!(self.answers.read_line(&mut line)? > 0, "a lane has ended");
            match serde_json::from_str(&line).with_context(|| format!("a lane says {line:?}"))? {
                Answer::Done => return Ok(()),
                Answer::Failed(why) => bail!("a lane cannot go on: {why}"),
                answer => hear(answer)?,
            }
        }
    }

    /// Takes batches until there are no more, or the time is over.
    fn work(mut self, queue: &Mutex<Batches>, progress: &Progress<'_>, wanted: &Wanted) -> Result<()> {
        loop {
            let within = wanted.part.within.map(|within| within.saturating_sub(progress.begun.elapsed()));
            if within.is_some_and(|within| within.is_zero()) {
                break;
            }
            let Some(batch) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { break };
            self.ask(&Order::Cells { cells: batch, within }, |answer| match answer {
                Answer::Ended(line) => progress.end(line),
                other => bail!("a lane says {other:?}"),
            })?;
        }
        drop(self.orders);
        let status = self.child.wait()?;
        ensure!(status.success(), "a lane ended with {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Part, batches, choose, everybody_was_hit, uncovered};
    use crate::cell::{Cell, Operation};
    use crate::results::{Line, Verdict};
    use crate::trial::{Outcome, Seen};

    #[test]
    fn a_run_can_begin_anywhere_and_in_any_order() {
        let all = Cell::of(Operation::Grow, &["prepare".to_owned(), "verify".to_owned()]);
        let chosen = |part: &Part| choose(&all, part, &BTreeMap::new());
        assert_eq!(chosen(&Part::default()).unwrap(), all);
        let from = Part { from: Some("grow/verify/node/kill".to_owned()), ..Part::default() };
        assert_eq!(chosen(&from).unwrap().first().unwrap().to_string(), "grow/verify/node/kill");
        let only = Part { only: Some("/node/".to_owned()), ..Part::default() };
        assert_eq!(chosen(&only).unwrap().len(), 2);
        assert!(chosen(&Part { only: Some("melt".to_owned()), ..Part::default() }).is_err());
        let shuffled = |seed| chosen(&Part { seed: Some(seed), ..Part::default() }).unwrap();
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7), shuffled(8));
        let mut sorted = shuffled(7);
        sorted.sort();
        let mut expected = all.clone();
        expected.sort();
        assert_eq!(sorted, expected);
        let few = chosen(&Part { seed: Some(7), most: Some(3), ..Part::default() }).unwrap();
        assert_eq!(few, shuffled(7)[..3]);
    }

    /// A cell that ended like this, after a step `wait_guests`.
    fn line(cell: &str, outcome: Outcome) -> Line {
        let steps = ["prepare", "wait_guests", "verify"].map(str::to_owned).into();
        let seen = Seen { outcome, inside: false, owner: false, ended_ms: 1, whole_ms: 1, attempts: 1, keys: 1, steps };
        Line { cell: cell.parse().unwrap(), verdict: Verdict::Well(seen), took_ms: 1, programs: String::new() }
    }

    #[test]
    fn a_step_that_calm_does_not_take_is_noticed() {
        let all = Cell::of(Operation::Grow, &["prepare".to_owned(), "verify".to_owned()]);
        let lines = ["prepare", "verify"].map(|step| line(&format!("grow/{step}/node/kill"), Outcome::Finished));
        assert_eq!(uncovered(&all, lines.iter()), BTreeMap::from([("grow/wait_guests".to_owned(), 2)]));
    }

    #[test]
    fn a_victim_that_is_never_found_is_noticed() {
        let lines = [
            line("grow/prepare/node/kill", Outcome::NoVictim),
            line("grow/verify/node/kill", Outcome::Finished),
            line("grow/prepare/redis/kill", Outcome::NoVictim),
            line("grow/verify/redis/kill", Outcome::NotReached),
            line("delete/destroy/redis/kill", Outcome::Finished),
        ];
        let all: Vec<Cell> = lines.iter().map(|line| line.cell.clone()).collect();
        let mut results: BTreeMap<Cell, Line> = lines.into_iter().map(|line| (line.cell.clone(), line)).collect();
        let why = everybody_was_hit(&all, &results).unwrap_err().to_string();
        assert_eq!(why, "nobody was ever hit by: grow: redis kill");
        let last = results.remove(&all[3]).unwrap();
        everybody_was_hit(&all, &results).unwrap();
        results.insert(last.cell.clone(), line("grow/verify/redis/kill", Outcome::Finished));
        everybody_was_hit(&all, &results).unwrap();
    }

    #[test]
    fn few_cells_are_spread_over_the_lanes() {
        let all = Cell::of(Operation::Grow, &["prepare".to_owned()]);
        let sizes = |cells: usize| -> Vec<usize> {
            batches(all.iter().take(cells).cloned().collect(), 3).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(4), [2, 2]);
        assert_eq!(sizes(21), [7, 7, 7]);
    }
}
