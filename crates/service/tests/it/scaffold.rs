//! A daemon from its arguments to its exit code, with a body that is not its own.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use redtrove_service::config::Log;
use redtrove_service::run::run_from;
use redtrove_service::{CommonArgs, DaemonConfig, Shutdown};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    log: Log,
}

impl DaemonConfig for Config {
    const DAEMON: &'static str = "test";

    fn log(&self) -> &Log {
        &self.log
    }
}

pub(crate) fn arguments(config: &Path, more: &[&str]) -> Vec<OsString> {
    let mut arguments = vec!["redtrove-test".into(), "--config".into(), config.into()];
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

fn start(arguments: Vec<OsString>) -> ExitCode {
    run_from(arguments, |_: Args, _: Config, _| async { anyhow::bail!("the body must not run") })
}

#[test]
fn what_is_wrong_before_the_body_has_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let (good, bad) = (directory.path().join("good.toml"), directory.path().join("bad.toml"));
    std::fs::write(&good, "[log]\nformat = \"json\"").unwrap();
    std::fs::write(&bad, "[log]\nformat = 5").unwrap();
    for more in [&[][..], &["--check-config"], &["--dump-config"]] {
        assert_eq!(start(arguments(&bad, more)), ExitCode::from(64));
    }
    assert_eq!(start(arguments(Path::new("/nonexistent"), &[])), ExitCode::from(64));
    assert_eq!(start(arguments(&good, &["--no-such-flag"])), ExitCode::from(2));
    assert_eq!(start(arguments(&good, &["--check-config"])), ExitCode::SUCCESS);
    assert_eq!(start(arguments(&good, &["--dump-config"])), ExitCode::SUCCESS);
    assert_eq!(start(arguments(&good, &["--help"])), ExitCode::SUCCESS);
}

#[test]
fn sigterm_begins_the_shutdown_and_background_work_ends_before_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let (config, witness) = (directory.path().join("c.toml"), directory.path().join("witness"));
    std::fs::write(&config, "").unwrap();
    let written = witness.clone();
    let code = run_from(arguments(&config, &[]), |_: Args, _: Config, shutdown: Shutdown| async move {
        let token = shutdown.token().clone();
        shutdown.tasks().spawn(async move {
            token.cancelled().await;
            std::fs::write(written, "ended in order").unwrap();
        });
        kill_process(getpid(), Signal::TERM)?;
        shutdown.token().cancelled().await;
        Ok(())
    });
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(std::fs::read_to_string(witness).unwrap(), "ended in order");
}
