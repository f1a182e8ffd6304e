//! redtrove-guestagent: one on each node, wraps redis-server.

use std::process::ExitCode;

use clap::Parser;
use redtrove_guestagent::Config;
use redtrove_service::CommonArgs;

/// Prepares, watches and forms a node of a Redis cluster for redtrove-taskmanager
#[derive(Debug, Parser)]
#[command(name = "redtrove-guestagent", version)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}

fn main() -> ExitCode {
    redtrove_service::run(|_: Args, config: Config, shutdown| redtrove_guestagent::run(config, shutdown))
}
