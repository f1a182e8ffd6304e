//! What the daemons logged, one JSON object a line, and what of it nobody expected.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::stack::Layout;

/// One line of a daemon's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// ERROR, WARN, INFO, DEBUG or TRACE; RAW for a line that is not JSON, such as a panic's.
    pub level: String,
    /// The sentence.
    pub message: String,
    /// The whole object; null for a RAW line.
    pub fields: Value,
    /// The text as it stands in the file.
    pub text: String,
}

/// A file and what stands in it.
#[derive(Debug, Clone)]
pub struct Log {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub lines: Vec<Line>,
}

impl Log {
    /// Whether these words stand in a line.
    pub fn holds(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(words))
    }
}

/// Reads a log.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Reads every log of a stack: of its daemons, and of the agents of the guests that are there. One that goes with its
/// guest while this reads is left out.
///
/// # Errors
/// A file that is there cannot be read, or the stack has no directory of them.
pub fn of_stack(layout: &Layout) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    for path in entries(&layout.logs())? {
        logs.push(Log { lines: read(&path)?, path });
    }
    for guest in entries(&layout.instances())? {
        let path = guest.join("agent.log");
        match read(&path) {
            Ok(lines) => logs.push(Log { path, lines }),
            Err(error) if is_not_there(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(logs)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.with_context(|| format!("cannot list {}", directory.display()))
}

fn is_not_there(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// Lines at WARN and ERROR, and lines that are no log lines at all, whose text has none of `allowed` in it.
pub fn unexpected<'a>(lines: &'a [Line], allowed: &[&str]) -> Vec<&'a Line> {
    let bad = |line: &&Line| matches!(line.level.as_str(), "WARN" | "ERROR" | "RAW");
    let forgiven = |line: &&Line| allowed.iter().any(|words| line.text.contains(words));
    lines.iter().filter(|line| bad(line) && !forgiven(line)).collect()
}

fn parse(text: &str) -> Vec<Line> {
    text.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

fn line(text: &str) -> Line {
    let fields = serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let word = |at: &str| fields.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let level = word("/level").unwrap_or_else(|| "RAW".to_owned());
    // The formatter keeps the sentence among the event's fields unless it flattens them.
    let message = word("/fields/message").or_else(|| word("/message")).unwrap_or_else(|| text.to_owned());
    Line { level, message, fields, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{of_stack, parse, unexpected};
    use crate::stack::Layout;

    const LOG: &str = r#"{"level":"INFO","fields":{"message":"up"}}
{"level":"WARN","fields":{"message":"broker away","error":"refused"}}

{"level":"ERROR","message":"flat"}
thread 'main' panicked at src/main.rs:1
"#;

    #[test]
    fn sentences_are_found_flat_or_among_the_fields() {
        let lines = parse(LOG);
        let seen: Vec<(&str, &str)> = lines.iter().map(|line| (line.level.as_str(), line.message.as_str())).collect();
        let panic = "thread 'main' panicked at src/main.rs:1";
        assert_eq!(seen, vec![("INFO", "up"), ("WARN", "broker away"), ("ERROR", "flat"), ("RAW", panic)]);
    }

    #[test]
    fn what_is_allowed_is_not_unexpected_and_a_panic_always_is() {
        let lines = parse(LOG);
        let left = unexpected(&lines, &["broker away", "flat"]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].level, "RAW");
        assert_eq!(unexpected(&lines, &[]).len(), 3);
    }

    #[test]
    fn a_log_that_went_with_its_guest_is_no_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(dir.path()).expect("a stack");
        let (there, gone) = (layout.instances().join("there"), layout.instances().join("gone"));
        for made in [&there, &gone] {
            fs::create_dir(made).expect("made");
        }
        fs::write(layout.instances().join(".a-file-that-is-no-guest"), "").expect("written");
        fs::write(layout.log("api"), LOG).expect("written");
        fs::write(there.join("agent.log"), LOG).expect("written");
        let paths: Vec<_> = of_stack(&layout).expect("readable").into_iter().map(|log| log.path).collect();
        assert_eq!(paths, [layout.log("api"), there.join("agent.log")]);
        fs::create_dir(gone.join("agent.log")).expect("made");
        assert!(of_stack(&layout).is_err(), "what is there cannot be read");
    }
}
