//! How a command ends: its exit status and its last words.

use std::fmt;
use std::process::ExitCode;

use anyhow::Error;
use redtrove_testkit::install::Refused;

use crate::interrupt::Interrupted;
use crate::say;

/// Something was asked for that does not exist.
#[derive(Debug)]
pub(crate) struct NotThere(pub(crate) String);

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotThere {}

/// Says why a command failed and chooses its status: 2 for what does not exist, 3 for packages that this user may
/// not install, 130 after Ctrl-C, 1 for the rest.
pub(crate) fn report(error: &Error) -> ExitCode {
    if error.is::<Interrupted>() {
        say::note("interrupted; what was started has ended");
        return ExitCode::from(130);
    }
    say::note(&format!("error: {error:#}"));
    if error.is::<NotThere>() {
        ExitCode::from(2)
    } else if error.is::<Refused>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}
