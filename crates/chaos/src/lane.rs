//! A lane runs batches of cells, one after the other, on a stack of its own, in a network namespace of its own where
//! that can be had. It is a process: it reads batches from its standard input and writes results to its standard output.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use redtrove_testkit::stack::Binaries;
use serde::{Deserialize, Serialize};

use crate::bed::Bed;
use crate::cell::{Cell, Operation, Victim};
use crate::results::{self, Line, Verdict};
use crate::trial::Trial;
use crate::{batch, network, trial};

/// Every n-th cell ends with a grow and a shrink in calm.
const GROWS_EVERY: u64 = 5;

/// What a lane is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The steps of every operation, by a run in calm.
    Discover,
    /// These cells, each with its number in the whole run; those that have not begun within this time are left out.
    Cells { cells: Vec<(u64, Cell)>, within: Option<Duration> },
}

/// What a lane answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The steps of an operation.
    Steps(String, Vec<String>),
    /// The end of a cell.
    Ended(Line),
    /// The order is carried out.
    Done,
    /// It cannot be carried out.
    Failed(String),
}

/// Carries out orders until there are no more.
pub(crate) fn run(dir: &Path, binaries: &Path, own_network: bool) -> Result<()> {
    if own_network {
        network::bring_up_loopback()?;
    }
    let binaries = Binaries::within(binaries)?;
    let programs = results::mark(&binaries)?;
    let mut lane = Lane { dir: dir.to_owned(), binaries, programs, bed: None, beds: 0, own_network };
    for line in std::io::stdin().lock().lines() {
        let order = serde_json::from_str(&line?).context("an order that cannot be read")?;
        match lane.carry_out(order) {
            Ok(()) => say(&Answer::Done)?,
            Err(error) => {
                lane.give_up_bed();
                say(&Answer::Failed(format!("{error:#}")))?;
            }
        }
    }
    match lane.bed.take() {
        Some(bed) => bed.end(false),
        None => Ok(()),
    }
}

fn say(answer: &Answer) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(answer)?)?;
    Ok(out.flush()?)
}

struct Lane {
    dir: PathBuf,
    binaries: Binaries,
    /// Their mark.
    programs: String,
    bed: Option<Bed>,
    beds: u32,
    own_network: bool,
}

/// A cell that went well so far, and how long it took.
struct Open {
    number: u64,
    cell: Cell,
    trial: Trial,
    took_ms: u64,
}

impl Lane {
    fn bed(&mut self) -> Result<&Bed> {
        if self.bed.is_none() {
            self.beds += 1;
            let dir = self.dir.join(format!("stack-{}", self.beds));
            self.bed = Some(Bed::start(&dir, &self.binaries)?);
        }
        self.bed.as_ref().context("there is a stack")
    }

    /// Ends a stack in which a promise was broken, and says where its files are.
    fn give_up_bed(&mut self) -> String {
        let Some(bed) = self.bed.take() else { return String::new() };
        let files = bed.layout().dir().with_extension("failed").display().to_string();
        match bed.end(true) {
            Ok(()) => files,
            Err(error) => format!("{files}, and it does not end: {error:#}"),
        }
    }

    fn carry_out(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Discover => {
                for operation in Operation::ALL {
                    let name = format!("calm-{}", operation.name());
                    let steps = trial::steps(self.bed()?, operation, &name)?;
                    say(&Answer::Steps(operation.name().to_owned(), steps))?;
                }
                Ok(())
            }
            Order::Cells { cells, within } => self.run_cells(cells, within.map(|within| Instant::now() + within)),
        }
    }

    fn run_cells(&mut self, cells: Vec<(u64, Cell)>, until: Option<Instant>) -> Result<()> {
        let mut open = Vec::new();
        for (number, cell) in cells {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            if !self.own_network && cell.victim.is_link() {
                let verdict = Verdict::NotRun("network namespaces cannot be made here".to_owned());
                self.end(cell, verdict, 0)?;
                continue;
            }
            let begun = Instant::now();
            let bed = self.bed()?;
            let ran = trial::run(bed, &cell, &format!("cell-{number}")).and_then(|trial| {
                if number.is_multiple_of(GROWS_EVERY) {
                    trial::grow_and_shrink(bed, &trial)?;
                }
                Ok(trial)
            });
            let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            match ran {
                Ok(trial) => open.push(Open { number, cell, trial, took_ms }),
                Err(error) => {
                    let files = self.give_up_bed();
                    let verdict = Verdict::Broken { why: format!("{error:#}"), files };
                    self.end(cell, verdict, took_ms)?;
                    // What was to be looked at later is gone with the stack: these have to be run again.
                    self.run_again(std::mem::take(&mut open), until)?;
                }
            }
        }
        self.close(open)
    }

    fn end(&self, cell: Cell, verdict: Verdict, took_ms: u64) -> Result<()> {
        say(&Answer::Ended(Line { cell, verdict, took_ms, programs: self.programs.clone() }))
    }

    fn run_again(&mut self, open: Vec<Open>, until: Option<Instant>) -> Result<()> {
        if open.is_empty() {
            return Ok(());
        }
        self.run_cells(open.into_iter().map(|open| (open.number, open.cell)).collect(), until)
    }

    /// The end of the batch, which is part of each of its cells.
    fn close(&mut self, open: Vec<Open>) -> Result<()> {
        let had_no_database = open.iter().any(|open| open.cell.victim == Victim::Database);
        let mut verdicts: Vec<(Open, Result<()>)> = Vec::new();
        let bed = self.bed()?;
        for open in open {
            let settled = batch::settle(bed, &open.trial);
            verdicts.push((open, settled));
        }
        // The agents' logs go with their machines.
        let examined = batch::check_doctor(bed).and_then(|()| batch::check_errors(bed, had_no_database));
        let examined = examined.context("before the deletes");
        for (open, settled) in &mut verdicts {
            if settled.is_ok() {
                *settled = batch::delete(bed, &open.trial);
            }
        }
        let left = examined.and_then(|()| batch::check_nothing_left(bed, had_no_database));
        let is_broken = left.is_err() || verdicts.iter().any(|(_, ended)| ended.is_err());
        let files = if is_broken { self.give_up_bed() } else { String::new() };
        for (Open { cell, trial, took_ms, .. }, ended) in verdicts {
            let broken = |error: &anyhow::Error| Verdict::Broken { why: format!("{error:#}"), files: files.clone() };
            let verdict = match (ended, &left) {
                (Err(error), _) => broken(&error),
                (Ok(()), Err(error)) => broken(&anyhow::anyhow!("after the batch: {error:#}")),
                (Ok(()), Ok(())) => Verdict::Well(trial.seen),
            };
            self.end(cell, verdict, took_ms)?;
        }
        Ok(())
    }
}
