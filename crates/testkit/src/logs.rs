//! What the daemons logged, one JSON object a line, and what of it nobody expected.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

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

/// Reads a log.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Lines at WARN and ERROR, and lines that are no log lines at all, whose text has none of `allowed` in it.
///
/// # Errors
/// The file cannot be read.
pub fn unexpected(path: &Path, allowed: &[&str]) -> Result<Vec<Line>> {
    let bad = |line: &Line| matches!(line.level.as_str(), "WARN" | "ERROR" | "RAW");
    let forgiven = |line: &Line| allowed.iter().any(|words| line.text.contains(words));
    Ok(read(path)?.into_iter().filter(|line| bad(line) && !forgiven(line)).collect())
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
    use super::{parse, unexpected};

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
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), LOG).expect("written");
        let left = unexpected(file.path(), &["broker away", "flat"]).expect("readable");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].level, "RAW");
        assert_eq!(unexpected(file.path(), &[]).expect("readable").len(), 3);
    }
}
