//! What became of each cell, one JSON object a line, in a file that outlives the run.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use redtrove_testkit::stack::Binaries;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::trial::Seen;

/// How a cell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every promise was kept.
    Well(Seen),
    /// A promise was broken.
    Broken {
        /// Which, and what was seen.
        why: String,
        /// Where the files of the stack are.
        files: String,
    },
    /// It cannot be run on this machine.
    NotRun(String),
}

impl Verdict {
    /// Whether it ended well and nobody was hit.
    pub(crate) fn is_missed(&self) -> bool {
        matches!(self, Self::Well(seen) if !seen.is_hit())
    }
}

/// A cell and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) cell: Cell,
    pub(crate) verdict: Verdict,
    /// How long all of it took, the making of its cluster included, milliseconds.
    pub(crate) took_ms: u64,
    /// The mark of the programs that it was run with.
    pub(crate) programs: String,
}

/// A mark that tells these programs from those of another build, by lengths and times of the files.
pub(crate) fn mark(binaries: &Binaries) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for path in [&binaries.api, &binaries.taskmanager, &binaries.guestagent] {
        let known = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
        (known.len(), known.modified()?).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Reads the results of earlier runs, the newest of each cell; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<Cell, Line>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // A run that was killed may have left half a line, and half a letter at the end of it.
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    Ok(lines.map(|line| (line.cell.clone(), line)).collect())
}

/// Adds a result; one caller at a time. The line feed before it ends what a run that was killed may have left.
pub(crate) fn append(path: &Path, line: &Line) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let text = format!("\n{}\n", serde_json::to_string(line)?);
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_takes_nothing_else_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        let line = |cell: &str| Line {
            cell: cell.parse().unwrap(),
            verdict: Verdict::NotRun("not ready within …".to_owned()),
            took_ms: 1,
            programs: String::new(),
        };
        let [one, half, next] = ["node", "redis", "agent"].map(|victim| line(&format!("grow/verify/{victim}/kill")));
        append(&path, &one).unwrap();
        append(&path, &half).unwrap();
        let whole = fs::read(&path).unwrap();
        // Within the last of its letters, which is three bytes long.
        let end = whole.iter().rposition(|byte| *byte == 0xa6).unwrap();
        fs::write(&path, &whole[..end]).unwrap();
        append(&path, &next).unwrap();
        let results = read(&path).unwrap();
        assert_eq!(results.into_values().collect::<Vec<_>>(), [next, one]);
    }

    #[test]
    fn the_newest_result_of_a_cell_counts_and_half_a_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.jsonl");
        assert!(read(&path).unwrap().is_empty());
        let cell: Cell = "grow/verify/redis/kill".parse().unwrap();
        let broken = Verdict::Broken { why: "x".to_owned(), files: "y".to_owned() };
        let line = Line { cell: cell.clone(), verdict: broken, took_ms: 1, programs: String::new() };
        append(&path, &line).unwrap();
        append(&path, &Line { verdict: Verdict::NotRun("z".to_owned()), ..line }).unwrap();
        write!(OpenOptions::new().append(true).open(&path).unwrap(), "{{\"cell\": \"gr").unwrap();
        let results = read(&path).unwrap();
        assert_eq!(results.len(), 1);
        assert_eq!(results[&cell].verdict, Verdict::NotRun("z".to_owned()));
        append(&path, &Line { verdict: Verdict::NotRun("w".to_owned()), ..results[&cell].clone() }).unwrap();
        assert_eq!(read(&path).unwrap()[&cell].verdict, Verdict::NotRun("w".to_owned()), "after the half line");
    }
}
