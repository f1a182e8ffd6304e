//! redtrove-taskmanager: runs the tasks, and the operator's verbs.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use redtrove_service::CommonArgs;
use redtrove_service::config::{ConfigError, EXIT_BAD_CONFIG};
use redtrove_taskmanager::config::Config;
use redtrove_taskmanager::daemon;
use redtrove_taskmanager::verbs::{self, Command};

/// Makes, watches and removes Redis clusters, as tasks that survive whatever happens
#[derive(Debug, Parser)]
#[command(name = "redtrove-taskmanager", version)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}

fn main() -> ExitCode {
    if let Ok(Args { common, command: Some(command) }) = Args::try_parse()
        && command.is_verb()
        && !(common.check_config || common.dump_config)
    {
        return do_verb(&common, &command);
    }
    // Wrong arguments are explained there, and the configuration is checked or shown, too.
    redtrove_service::run(|_: Args, config: Config, shutdown| daemon::run(config, shutdown))
}

fn do_verb(common: &CommonArgs, command: &Command) -> ExitCode {
    let error = match verbs::run(common, command, &mut io::stdout().lock()) {
        Ok(code) => return code,
        Err(error) => error,
    };
    // A reader that has seen enough, such as head, is no trouble.
    let broken_pipe = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken_pipe)) {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to tell if even this fails.
    let _ = writeln!(io::stderr(), "redtrove-taskmanager: {error:#}");
    let bad_config = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(if bad_config { EXIT_BAD_CONFIG } else { command.exit_of_trouble() })
}
