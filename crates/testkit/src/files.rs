//! Private files and directories, random secrets, the end of a log.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use uuid::Uuid;

/// Makes a directory that only its owner may enter, with its parents.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}

/// Writes a file that only its owner may read.
pub(crate) fn private_file(path: &Path, text: &str) -> Result<()> {
    let file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The last lines of a text file, for error messages.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A path as text, for command lines and configuration files.
pub(crate) fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Writes a private file in one step: readers see the old content or the new, never a part.
pub(crate) fn replace_private_file(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    private_file(&next, text)?;
    fs::rename(&next, path).with_context(|| format!("cannot replace {}", path.display()))
}

/// 122 random bits in hexadecimal.
#[expect(clippy::disallowed_methods, reason = "passwords and tokens of a private stack must differ from run to run")]
pub(crate) fn secret() -> String {
    Uuid::new_v4().simple().to_string()
}
