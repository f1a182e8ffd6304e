//! How a command ends: its exit status and its last words.

use std::process::ExitCode;

use anyhow::Error;
use redtrove_testkit::install::Refused;

use crate::interrupt::Interrupted;
use crate::say;

/// Says why a command failed and chooses its status: 3 for packages that this user may not install, 130 after Ctrl-C,
/// 1 for the rest.
pub(crate) fn report(error: &Error) -> ExitCode {
    if error.is::<Interrupted>() {
        say::note("interrupted; what was started has ended");
        return ExitCode::from(130);
    }
    say::note(&format!("error: {error:#}"));
    if error.is::<Refused>() { ExitCode::from(3) } else { ExitCode::FAILURE }
}
