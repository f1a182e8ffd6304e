//! Searches seeds of the simulated installation for one whose story ends badly, or tells the story of one seed.
//!
//! `cargo xtask sim` builds and calls it. Exit status: 0 if all went well, 1 if something was wrong, 2 if the command
//! line cannot be read.

use std::io::Write;
use std::num::NonZero;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redtrove_engine::sim::whole::{Report, Tally, Telling, run};

/// How often it is said how far the search is.
const NEWS_EVERY: Duration = Duration::from_secs(5);
/// How many bad seeds are enough.
const BAD_SEEDS: usize = 5;

const USAGE: &str = "usage: redtrove-simulation --seed N | --seeds A..B [--seconds N]";

/// What is asked for.
enum Asked {
    /// The story of one seed, line by line.
    Story(u64),
    /// A search, ended by the time if it has not come to its end before.
    Search(Range<u64>, Duration),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = match read(&words) {
        Some(Asked::Story(seed)) => tell(seed),
        Some(Asked::Search(seeds, length)) => search(&seeds, length),
        None => {
            note(USAGE);
            return ExitCode::from(2);
        }
    };
    match asked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("the simulation cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn read(words: &[String]) -> Option<Asked> {
    let (mut seeds, mut length) = (None, None);
    for pair in words.chunks(2) {
        match pair {
            [name, value] if name == "--seed" => return value.parse().ok().map(Asked::Story),
            [name, value] if name == "--seeds" => {
                let (first, end) = value.split_once("..")?;
                seeds = Some(first.parse().ok()?..end.parse().ok()?);
            }
            [name, value] if name == "--seconds" => length = Some(Duration::from_secs(value.parse().ok()?)),
            _ => return None,
        }
    }
    Some(Asked::Search(seeds?, length.unwrap_or(Duration::MAX)))
}

/// Tells one story. False if it ends badly.
fn tell(seed: u64) -> std::io::Result<bool> {
    let report = run(seed, Telling { line_by_line: true, ..Telling::default() })?;
    for line in &report.story {
        say(line);
    }
    say(&format!("seed {seed}: {:?} of simulated time, print {:016x}", report.length, report.print));
    say(&outcome(&report));
    Ok(report.violation.is_none())
}

fn outcome(report: &Report) -> String {
    match &report.violation {
        None => format!("seed {} ends well", report.seed),
        Some(violation) => format!("seed {} ends badly. What must be: {violation}", report.seed),
    }
}

#[derive(Default)]
struct Found {
    told: u64,
    tally: Tally,
    simulated: Duration,
    bad: Vec<Report>,
    /// When it was last said how far the search is.
    news: Option<Instant>,
}

/// Tells stories on every processor. False if one of them ends badly.
fn search(seeds: &Range<u64>, length: Duration) -> std::io::Result<bool> {
    let begun = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Found> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let look = || -> std::io::Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || begun.elapsed() >= length {
                return Ok(());
            }
            let report = run(seed, Telling::default())?;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.told += 1;
            found.tally += report.tally;
            found.simulated += report.length;
            if report.violation.is_some() {
                note(&outcome(&report));
                found.bad.push(report);
            }
            if found.bad.len() >= BAD_SEEDS {
                return Ok(());
            }
            if found.news.is_none_or(|last| last.elapsed() >= NEWS_EVERY) {
                found.news = Some(Instant::now());
                note(&format!("{} seeds, {:.0} a second", found.told, rate(found.told, begun)));
            }
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
        all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked"))))
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.bad.sort_by_key(|report| report.seed);
    summarize(&found, begun);
    if let Some(first) = found.bad.first() {
        say(&format!("the story of seed {}:", first.seed));
        tell(first.seed)?;
    }
    Ok(found.bad.is_empty())
}

fn summarize(found: &Found, begun: Instant) {
    let Tally { effects, succeeded, failed, refused, taken_over, fenced_by_database, fenced_by_guests } = found.tally;
    say(&format!(
        "{} seeds in {:.1} s, {:.0} a second; {:.1} days of simulated time, {effects} calls",
        found.told,
        begun.elapsed().as_secs_f64(),
        rate(found.told, begun),
        found.simulated.as_secs_f64() / 86_400.0,
    ));
    for (at, name) in ["creates", "deletes", "grows", "shrinks"].into_iter().enumerate() {
        let count = |of: [u64; 4]| of.get(at).copied().unwrap_or_default();
        say(&format!("{name}: {} succeeded, {} did not", count(succeeded), count(failed)));
    }
    say(&format!("{refused} shrinks were refused, {taken_over} tasks taken over"));
    say(&format!("late calls: the database refused {fenced_by_database}, guests {fenced_by_guests}"));
    say(&format!("{} seeds ended badly", found.bad.len()));
}

fn rate(told: u64, begun: Instant) -> f64 {
    f64::from(u32::try_from(told).unwrap_or(u32::MAX)) / begun.elapsed().as_secs_f64().max(0.001)
}

/// A result. A reader who went away is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Progress and complaints.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
