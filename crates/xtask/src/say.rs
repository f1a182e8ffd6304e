//! Words for the person at the terminal: results on standard output, everything else on standard error.

use std::io::Write as _;

/// A result. A reader who went away is no reason to fail.
pub(crate) fn result(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Progress, questions, errors.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A new part of a longer command.
pub(crate) fn heading(words: &str) {
    note(&format!("== {words}"));
}
