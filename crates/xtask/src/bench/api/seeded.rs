//! A database with many clusters, and an API alone with it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use redtrove_testkit::stack::{Auth, Bus};
use redtrove_testkit::{Process, Stack, StackOptions, pause};

use super::CONNECTIONS;
use super::database::{self, Ids};
use super::memory::Resident;
use super::operation::Operation;
use super::results::{Daemon, Memory, Row, Table, Tokens};
use super::wrk::{Answers, Calls, Requests};
use crate::bench::Bench;
use crate::bench::load::Load;
use crate::cli::ApiOptions;
use crate::say;

/// How long tokens of Keystone live; longer than a run.
const TOKEN_SECONDS: u32 = 86_400;
/// How long a daemon may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// What a daemon gets to come to rest.
const REST: Duration = Duration::from_secs(3);

/// Starts a stack.
pub(super) fn start_stack(bench: &Bench<'_>, name: &str, bus: Bus, tokens: Tokens) -> Result<Stack> {
    let mut options = StackOptions::new(bench.fresh_dir(name)?, bench.binaries.clone());
    options.bus = bus;
    options.auth = match tokens {
        Tokens::Static => Auth::Static,
        Tokens::Keystone => Auth::Keystone { token_seconds: TOKEN_SECONDS },
    };
    Stack::start(&options, &|_| bench.interrupt.check())
}

/// Ends a daemon of a stack that nobody supervises.
pub(super) fn stop(stack: &Stack, daemon: &str) -> Result<()> {
    stack.daemon(daemon)?.terminate(ENDS_WITHIN).with_context(|| format!("{daemon} does not end"))
}

/// What a process holds once it has come to rest.
pub(super) fn at_rest(bench: &Bench<'_>, process: &Process) -> Result<Resident> {
    pause(REST);
    bench.interrupt.check()?;
    Resident::of(process)
}

/// Measures every operation.
pub(super) struct Measurement<'a> {
    pub(super) bench: &'a Bench<'a>,
    pub(super) stack: &'a Stack,
    pub(super) length: Duration,
    /// The most that the API was seen to hold under load.
    pub(super) most: Resident,
}

impl Measurement<'_> {
    /// One operation on `clusters`, which are ready.
    pub(super) fn row(&mut self, operation: Operation, connections: u32, clusters: &[Ids]) -> Result<Row> {
        self.row_of(operation, connections, operation.requests(self.stack, clusters)?)
    }

    /// One operation, by requests for it.
    pub(super) fn row_of(&mut self, operation: Operation, connections: u32, requests: Requests) -> Result<Row> {
        let load = Load::when_quiet(self.bench)?;
        let answers =
            self.answers(connections, requests).with_context(|| format!("{} at {connections}", operation.name()))?;
        let (name, rate) = (operation.name(), answers.per_second());
        let Answers { p50_ms, p99_ms, .. } = answers;
        say::note(&format!("  {name}, {connections}: {rate:.0}/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms ({load})"));
        Ok(Row { operation, connections, answers, load })
    }

    /// The same without a look at what else the machine does.
    pub(super) fn answers(&mut self, connections: u32, requests: Requests) -> Result<Answers> {
        let calls = Calls { requests, connections, length: self.length };
        let api = self.stack.daemon("api")?;
        calls.put_on(self.bench, self.stack, || {
            self.most = self.most.most(Resident::of(&api)?);
            Ok(())
        })
    }
}

/// All operations with one kind of tokens, and the memory of the API and the taskmanager.
pub(super) fn measure(bench: &Bench<'_>, options: &ApiOptions, tokens: Tokens) -> Result<(Table, Vec<Memory>)> {
    let name = match tokens {
        Tokens::Static => "static",
        Tokens::Keystone => "keystone",
    };
    say::note(&format!("  {} clusters, {name} tokens", options.clusters));
    let stack = start_stack(bench, name, Bus::RabbitMq, tokens)?;
    let kept = |daemon, when: &str, at_rest, resident| {
        let when = format!("{when}, {name} tokens");
        Memory { daemon, when, at_rest, resident }
    };
    let mut memory = vec![
        kept(Daemon::Taskmanager, "just started", true, at_rest(bench, &stack.daemon("taskmanager")?)?),
        kept(Daemon::Api, "just started", true, at_rest(bench, &stack.daemon("api")?)?),
    ];
    stop(&stack, "taskmanager")?;
    database::seed(&stack, options.clusters)?;
    let length = Duration::from_secs(options.seconds);
    let mut measurement = Measurement { bench, stack: &stack, length, most: Resident::default() };
    let rows = rows(&mut measurement, options.clusters)?;
    memory.push(kept(Daemon::Api, "under load", false, measurement.most));
    memory.push(kept(Daemon::Api, "after it", true, at_rest(bench, &stack.daemon("api")?)?));
    stack.end()?;
    Ok((Table { tokens, rows }, memory))
}

fn rows(measurement: &mut Measurement<'_>, clusters: u32) -> Result<Vec<Row>> {
    let stack = measurement.stack;
    let mut rows = Vec::new();
    for operation in Operation::READS {
        for connections in CONNECTIONS {
            rows.push(measurement.row(operation, connections, &database::ready(stack)?)?);
        }
    }
    for connections in CONNECTIONS {
        rows.push(measurement.row(Operation::Create, connections, &[])?);
    }
    for connections in CONNECTIONS {
        // Each delete finds all of them, those that the one before has deleted replaced.
        let left = u32::try_from(database::ready(stack)?.len())?;
        if left < clusters {
            database::seed(stack, clusters - left)?;
        }
        rows.push(measurement.row(Operation::Delete, connections, &database::ready(stack)?)?);
    }
    Ok(rows)
}
