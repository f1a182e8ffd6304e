//! What surrounds every daemon's own work: arguments, configuration, logs, runtime, signals, exit code.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::config::{self, CommonArgs, ConfigError, DaemonConfig, EXIT_BAD_CONFIG};
use crate::shutdown::{Drain, Shutdown, StopSignals};
use crate::{logs, notify, tls};

/// How long background work has to end once the body has ended.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Runs a daemon: parses its arguments, loads its configuration, starts logs and a runtime, and polls `body` with
/// arguments, configuration and a [`Shutdown`] that SIGTERM and SIGINT begin.
///
/// When the body has ended, what it spawned on the shutdown's tracker has ten seconds to end; a second signal ends the
/// daemon at once. Exit codes: 0 done, 1
/// failed (one sentence says why), 2 wrong arguments, 64 bad configuration.
pub fn run<A, C, B, F>(body: B) -> ExitCode
where
    A: Parser + AsRef<CommonArgs>,
    C: DaemonConfig,
    B: FnOnce(A, C, Shutdown) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    run_from(std::env::args_os(), body)
}

/// [`run`] with the arguments given; the first one is the program's name.
pub fn run_from<A, C, B, F>(arguments: impl IntoIterator<Item = OsString>, body: B) -> ExitCode
where
    A: Parser + AsRef<CommonArgs>,
    C: DaemonConfig,
    B: FnOnce(A, C, Shutdown) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let args = match A::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // `--help` and `--version` come this way too. Where nobody can read it, nothing is left to do.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let path = args.as_ref().config_path(C::DAEMON);
    let config: C = match config::load_checked(&path) {
        Ok(config) => config,
        Err(error) => return refuse::<C>(&error.to_string(), EXIT_BAD_CONFIG),
    };
    match answer(args.as_ref(), &path, &config) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => return refuse::<C>(&format!("{error:#}"), 1),
    }
    if let Err(error) = logs::init(config.log()) {
        return refuse::<C>(&format!("logging cannot be started: {error}"), 1);
    }
    tls::install_crypto_provider();
    match with_runtime(C::WORKERS, |shutdown| body(args, config, shutdown)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let daemon = C::DAEMON;
            tracing::error!("redtrove-{daemon} ends: {error:#}");
            let bad_config = error.chain().any(|cause| cause.is::<ConfigError>());
            ExitCode::from(if bad_config { EXIT_BAD_CONFIG } else { 1 })
        }
    }
}

/// Does what `--check-config` and `--dump-config` ask for; false if neither is there.
fn answer<C: DaemonConfig>(args: &CommonArgs, path: &Path, config: &C) -> anyhow::Result<bool> {
    let text = if args.check_config {
        format!("{}: good\n", path.display())
    } else if args.dump_config {
        config::dump(config).context("the configuration cannot be printed")?
    } else {
        return Ok(false);
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(true)
}

/// Before there are logs: one plain sentence on standard error.
fn refuse<C: DaemonConfig>(reason: &str, code: u8) -> ExitCode {
    // Where standard error is closed the exit code has to say it all.
    let _ = writeln!(std::io::stderr(), "redtrove-{}: {reason}", C::DAEMON);
    ExitCode::from(code)
}

fn with_runtime<F: Future<Output = anyhow::Result<()>>>(
    workers: Option<usize>,
    body: impl FnOnce(Shutdown) -> F,
) -> anyhow::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build().context("the runtime cannot be started")?;
    let result = runtime.block_on(supervise(body));
    // A blocking call that hangs must not hold the process: systemd would kill it, and call that a failure.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn supervise<F: Future<Output = anyhow::Result<()>>>(body: impl FnOnce(Shutdown) -> F) -> anyhow::Result<()> {
    let mut signals = StopSignals::catch().context("signals cannot be caught")?;
    let shutdown = Shutdown::new();
    let body = Box::pin(body(shutdown.clone()));
    let result = tokio::select! {
        result = body => result,
        () = signals.heed(&shutdown) => return Ok(()),
        never = notify::watchdog(shutdown.pulses()) => match never {},
    };
    let left = tokio::select! {
        drain = shutdown.drain(DRAIN_DEADLINE) => drain,
        // Whoever asks again does not want to wait.
        _ = signals.next() => Drain::Late(shutdown.tasks().len()),
    };
    if let Drain::Late(tasks) = left {
        tracing::warn!(tasks, "{tasks} background tasks did not end in time and were dropped");
    }
    result
}
