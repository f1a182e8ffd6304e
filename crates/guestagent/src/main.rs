//! redtrove-guestagent: one on each node, wraps redis-server.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use redtrove_guestagent::Config;
use redtrove_guestagent::home::Home;
use redtrove_guestagent::nodes_file::NodesFile;
use redtrove_service::CommonArgs;

/// Prepares, watches and forms a node of a Redis cluster for redtrove-taskmanager
#[derive(Debug, Parser)]
#[command(name = "redtrove-guestagent", version)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
    /// Make the nodes.conf below this directory fit for a start of redis-server, and end: for the unit of a redis-server that
    /// systemd starts again by itself. Needs no configuration
    #[arg(long, value_name = "DIRECTORY")]
    mend: Option<PathBuf>,
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}

fn main() -> ExitCode {
    if let Ok(Args { mend: Some(directory), .. }) = Args::try_parse() {
        return mend(&directory);
    }
    redtrove_service::run(|_: Args, config: Config, shutdown| redtrove_guestagent::run(config, shutdown))
}

/// A node that cannot be started as what it was is not started: the exit code is 1.
fn mend(directory: &Path) -> ExitCode {
    let opened = Home::open(directory).map_err(|error| format!("cannot open {}: {error}", directory.display()));
    let file = opened.and_then(|home| NodesFile::open(Arc::new(home)).map_err(|error| error.to_string()));
    let (said, code) = match file.and_then(|file| file.mend()) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(done)) => (done, ExitCode::SUCCESS),
        Err(reason) => (reason, ExitCode::FAILURE),
    };
    // Where standard error is closed the exit code has to say it all.
    let _ = writeln!(std::io::stderr(), "redtrove-guestagent: {said}");
    code
}
