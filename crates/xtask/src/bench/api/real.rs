//! Real clusters, each node a redis-server with its agent, and the taskmanager at work.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use redtrove_testkit::process::table::STACK_DIR_VARIABLE;
use redtrove_testkit::stack::{self, Bus, Guest, State};
use redtrove_testkit::{Launch, Process, Stack};

use super::database::{self, Ids};
use super::memory::Resident;
use super::operation::{MEMBERS, Operation, creations};
use super::results::{Daemon, Memory, Real, Start, Tokens};
use super::seeded::{Measurement, at_rest, start_stack, stop};
use super::{CONNECTIONS, REAL, STARTS, start};
use crate::bench::Bench;
use crate::cli::ApiOptions;
use crate::say;

/// How long all clusters together may take to be accepted. wrk waits for the end of it, while they are built.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(1);
/// How long all clusters together may take to be built.
const BUILT_WITHIN: Duration = Duration::from_secs(300);
/// How often the daemons' memory is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is found on a stack with real clusters.
pub(super) struct Found {
    pub(super) real: Real,
    pub(super) memory: Vec<Memory>,
    pub(super) starts: Vec<Start>,
}

pub(super) fn measure(bench: &Bench<'_>, options: &ApiOptions) -> Result<Found> {
    say::note(&format!("  {REAL} real clusters"));
    let mut stack = start_stack(bench, "real", Bus::RabbitMq, Tokens::Static)?;
    let length = Duration::from_secs(options.seconds);
    let mut measurement = Measurement { bench, stack: &stack, length: ACCEPTED_WITHIN, most: Resident::default() };
    let began = Instant::now();
    let mut rows = vec![measurement.row_of(Operation::Create, 1, creations(&stack, REAL))?];
    measurement.length = length;
    let (clusters, mut memory) = built(bench, &stack)?;
    let built_in = began.elapsed().as_secs_f64();
    say::note(&format!("  all ACTIVE after {built_in:.1} s"));
    memory.extend(resting(bench, &stack)?);
    for operation in Operation::READS {
        for connections in CONNECTIONS {
            rows.push(measurement.row(operation, connections, &clusters)?);
        }
    }
    let starts = starts(bench, &mut stack)?;
    let mut measurement = Measurement { bench, stack: &stack, length, most: Resident::default() };
    rows.push(measurement.row(Operation::Delete, 1, &clusters)?);
    stack.end()?;
    Ok(Found { real: Real { clusters: REAL, built_in, rows }, memory, starts })
}

/// Waits until all clusters are ACTIVE, and sees what that costs taskmanager and agents.
fn built(bench: &Bench<'_>, stack: &Stack) -> Result<(Vec<Ids>, Vec<Memory>)> {
    let taskmanager = stack.daemon("taskmanager")?;
    let (mut building, mut forming) = (Resident::default(), Resident::default());
    let clusters = bench.wait_for("all clusters to be ACTIVE", BUILT_WITHIN, LOOK_EVERY, || {
        building = building.most(Resident::of(&taskmanager)?);
        forming = forming.most(largest(&agents(stack)?));
        let ready = database::ready(stack)?;
        Ok((ready.len() == REAL).then_some(ready))
    })?;
    for Ids { cluster, .. } in &clusters {
        let shown = stack.client().get(&format!("/clusters/{cluster}"))?.expect_status(200)?;
        let members = shown.pointer("/cluster/instances").and_then(serde_json::Value::as_array);
        let active = members.context("no members are shown")?.iter().filter(|member| member["status"] == "ACTIVE");
        ensure!(active.count() == MEMBERS, "a cluster is not ACTIVE: {shown}");
    }
    let busy = |daemon, when: String, resident| Memory { daemon, when, at_rest: false, resident };
    let nodes = REAL * MEMBERS;
    let memory = vec![
        busy(Daemon::Taskmanager, format!("while {REAL} clusters are built"), building),
        busy(Daemon::Guestagent, format!("while its cluster is formed, the largest of {nodes}"), forming),
    ];
    Ok((clusters, memory))
}

fn resting(bench: &Bench<'_>, stack: &Stack) -> Result<Vec<Memory>> {
    let rest = |daemon, when: String, resident| Memory { daemon, when, at_rest: true, resident };
    let nodes = REAL * MEMBERS;
    let taskmanager = at_rest(bench, &stack.daemon("taskmanager")?)?;
    let agents = agents(stack)?;
    ensure!(agents.len() == nodes, "{} of {nodes} agents run", agents.len());
    Ok(vec![
        rest(Daemon::Taskmanager, format!("watching {nodes} nodes"), taskmanager),
        rest(Daemon::Guestagent, format!("beside its node, the largest of {nodes}"), largest(&agents)),
    ])
}

fn agents(stack: &Stack) -> Result<Vec<Process>> {
    Ok(stack::guests(stack.layout().dir())?.into_iter().filter_map(|guest| guest.agent).collect())
}

/// An agent that ends meanwhile holds nothing.
fn largest(agents: &[Process]) -> Resident {
    agents.iter().filter_map(|agent| Resident::of(agent).ok()).fold(Resident::default(), Resident::most)
}

/// How long each daemon takes to start; all of them run again afterwards.
fn starts(bench: &Bench<'_>, stack: &mut Stack) -> Result<Vec<Start>> {
    // A guest whose taskmanager is away stays as it is.
    stop(stack, "taskmanager")?;
    let guest = stack::guests(stack.layout().dir())?.into_iter().next().context("there is no guest")?;
    let mut starts = vec![Start { daemon: Daemon::Guestagent, ms: agent_starts(bench, stack, &guest)? }];
    for (daemon, name) in [(Daemon::Taskmanager, "taskmanager"), (Daemon::Api, "api")] {
        stop(stack, name)?;
        let launch = State::read(stack.layout())?.find(name)?.launch.clone();
        starts.push(Start { daemon, ms: start::times(bench, &launch, STARTS)? });
        stack.start_again(name)?;
    }
    let client = stack.client();
    redtrove_testkit::wait_for("the API to answer again", Duration::from_secs(30), || {
        Ok(client.get("/clusters").is_ok_and(|answer| answer.status == 200).then_some(()))
    })?;
    for Start { daemon, ms } in &starts {
        say::note(&format!("  {} is ready after {ms:?} ms", daemon.name()));
    }
    starts.reverse();
    Ok(starts)
}

/// An agent finds its redis-server running each time, as it does after an upgrade.
fn agent_starts(bench: &Bench<'_>, stack: &Stack, guest: &Guest) -> Result<Vec<f64>> {
    guest.agent.context("the guest has no agent")?.terminate(Duration::from_secs(10))?;
    let path = |path: &std::path::Path| path.to_str().map(str::to_owned).context("a path is not UTF-8");
    let launch = Launch::new(&bench.binaries.guestagent, guest.dir.join("agent.log"), &guest.dir)
        .arg("--config")
        .arg(path(&guest.dir.join("agent.toml"))?)
        .env(STACK_DIR_VARIABLE, path(stack.layout().dir())?);
    start::times(bench, &launch, STARTS)
}
