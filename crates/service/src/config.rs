//! One TOML file a daemon: parsed whole before anything is bound, refused in one sentence.

pub mod args;
pub mod sample;
pub mod sections;
pub mod strategy;
pub mod values;

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::args::CommonArgs;
pub use self::sections::{Bus, Database, Log, LogFormat, Monitoring, Redis};
pub use self::values::{Count, LogFilter, Port, Seconds};
use crate::mask::mask_credentials;

/// The exit code for a bad configuration: EX_USAGE of sysexits.h.
pub const EXIT_BAD_CONFIG: u8 = 64;

/// The configuration of one daemon: a struct with `deny_unknown_fields`, one field a section.
pub trait DaemonConfig: DeserializeOwned + Serialize {
    /// `api`, `taskmanager` or `guestagent`: names the default file and the process in its logs.
    const DAEMON: &'static str;

    /// How many threads poll its tasks; as many as there are processors unless said otherwise.
    const WORKERS: Option<usize> = None;

    /// The `[log]` section.
    fn log(&self) -> &Log;

    /// What one field alone cannot check. The first complaint refuses the file.
    fn check(&self) -> Result<(), Complaint> {
        Ok(())
    }
}

/// A setting that does not fit another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The dotted key, `taskmanager.lease_seconds`.
    pub key: &'static str,
    /// What is wrong with it, without the key: "is not below …".
    pub problem: String,
}

/// Why a configuration was refused. One sentence with file, line, column and key as far as they are known.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can be read and is wrong.
    #[error("{}, line {line}, column {column}: {}{problem}", path.display(), prefix(key))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// The dotted key; empty if the text is not TOML.
        key: String,
        /// What is wrong.
        problem: String,
    },
}

fn prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("key '{key}': ") }
}

/// Where `daemon` looks when it is not told: `/etc/redtrove/<daemon>.toml`.
pub fn default_path(daemon: &str) -> PathBuf {
    Path::new("/etc/redtrove").join(format!("{daemon}.toml"))
}

/// Reads `path` into `T`; see [`parse`].
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(path, &read(path)?)
}

/// Reads `path` into a daemon's configuration and asks it about what one field alone cannot check.
pub fn load_checked<T: DaemonConfig>(path: &Path) -> Result<T, ConfigError> {
    let text = read(path)?;
    let config: T = parse(path, &text)?;
    config.check().map_err(|complaint| {
        let (line, column) = place(&text, offset_of(&text, complaint.key));
        let (path, key) = (path.to_owned(), complaint.key.to_owned());
        ConfigError::Invalid { path, line, column, key, problem: complaint.problem }
    })?;
    Ok(config)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Parses TOML. `path` is for the error only.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let invalid = |key: String, error: &toml::de::Error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        ConfigError::Invalid { path: path.to_owned(), line, column, key, problem: one_line(error.message()) }
    };
    let document = toml::Deserializer::parse(text).map_err(|error| invalid(String::new(), &error))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key = match error.path().to_string() {
            root if root == "." => String::new(),
            key => one_line(&key),
        };
        invalid(key, error.inner())
    })
}

/// The configuration as TOML with every default filled in. Secrets are masked by their types.
pub fn dump<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    // By way of a table: plain values have to come before sub-tables, whatever the order of the fields.
    toml::to_string_pretty(&toml::Table::try_from(config)?)
}

/// `message` without line breaks and passwords, cut where it gets longer than anybody reads.
fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    let mut line = mask_credentials(&words.join(" "));
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Line and column of the byte at `offset`, both from 1; the column counts characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    // A byte that continues a UTF-8 character does not begin a column.
    let column = before.iter().skip(start).filter(|byte| (**byte & 0xC0) != 0x80).count() + 1;
    (line, column)
}

/// Where the value of the dotted `key` stands in `text`, or the closest section around it.
fn offset_of(text: &str, key: &str) -> usize {
    let Ok(document) = toml::de::DeTable::parse(text) else { return 0 };
    let mut offset = 0;
    let mut table = document.get_ref();
    for name in key.split('.') {
        let Some((found, value)) = table.iter().find(|(found, _)| found.get_ref() == name) else { break };
        offset = found.span().start;
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    offset
}

#[cfg(test)]
mod tests;
