//! The end of some cells that ran one after the other: debts are paid, clusters are deleted, and nothing is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redtrove_engine::ports::{RemovedNode, Resource};
use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::{wait_for, wait_until_well};
use serde_json::Value;

use crate::bed::Bed;
use crate::trial::{Left, Trial};

/// From the last payment of a debt to the look that confirms it (65 s), and what it takes to pay and to look.
const DEBTS_END_WITHIN: Duration = Duration::from_secs(65 + 40);
/// How long a cluster that was in order before may take to show it again.
const STILL_WITHIN: Duration = Duration::from_secs(10);
/// How long a delete may take.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// How long the last of it may take to go: a machine that was made too late waits for the sweeper of orphans.
const NOTHING_LEFT_WITHIN: Duration = Duration::from_secs(90);
/// Programs of a stack that go on when its last cluster has gone.
const STAY: [&str; 7] =
    ["redtrove-api", "redtrove-taskma", "mariadbd", "beam.smp", "epmd", "erl_child_setup", "inet_gethost"];
/// The queue of wake-ups, and that of messages that nobody could use.
const QUEUES: [&str; 2] = ["redtrove.taskmanager", "redtrove.dead"];

/// Has a cluster's debts paid and confirmed, and looks whether its members know each other and nobody else.
pub(crate) fn settle(bed: &Bed, trial: &Trial) -> Result<()> {
    let id = trial.cluster.id;
    let mut left = 0;
    let settled = wait_for("every debt to be paid and confirmed", DEBTS_END_WITHIN, || {
        left = bed.ask(async |store| store.removed_nodes(Some(id)).await)?.len();
        check_held_addresses(bed)?;
        Ok((left == 0).then_some(()))
    });
    settled.with_context(|| format!("{left} removed nodes of cluster {id} may be remembered"))?;
    let api = bed.api(1)?;
    match &trial.left {
        Left::Whole(members) => drop(trial.cluster.wait_whole(api, *members, STILL_WITHIN).context("a minute later")?),
        Left::AsBefore(before) => {
            drop(trial.cluster.wait_as_before(api, before, STILL_WITHIN).context("a minute after it failed")?)
        }
        Left::Nothing => {}
    }
    Ok(())
}

/// The address of a removed node stays taken for as long as somebody may remember the node: a new one there would be
/// taken for it.
pub(crate) fn check_held_addresses(bed: &Bed) -> Result<()> {
    let removed = bed.ask(async |store| store.removed_nodes(None).await)?;
    let mut holders = BTreeSet::new();
    for link in fs::read_dir(bed.layout().instances().join(".address"))? {
        // One that is freed meanwhile is held by nobody.
        holders.extend(fs::read_link(link?.path()).ok());
    }
    let is_free = |node: &&RemovedNode| !holders.contains(Path::new(&node.instance.to_string()));
    let free: Vec<&RemovedNode> = removed.iter().filter(is_free).collect();
    if free.is_empty() {
        return Ok(());
    }
    // The row goes first.
    let standing = bed.ask(async |store| store.removed_nodes(None).await)?;
    let early = free.iter().find(|free| standing.iter().any(|standing| standing.node == free.node));
    ensure!(early.is_none(), "the address of a node that may be remembered is free: {early:?}");
    Ok(())
}

/// Reads back what was written to a cluster and deletes it, unless it is gone.
pub(crate) fn delete(bed: &Bed, trial: &Trial) -> Result<()> {
    let api = bed.api(0)?;
    let members = match &trial.left {
        Left::Whole(_) => trial.cluster.show(api)?.addresses(),
        Left::AsBefore(before) => before.shown.addresses(),
        Left::Nothing => Vec::new(),
    };
    if !members.is_empty() {
        trial.acknowledged.check(&members).context("before the delete")?;
    }
    if trial.cluster.look(api)?.is_some() {
        trial.cluster.delete(api)?.expect_status(202)?;
        trial.cluster.wait_gone(api, GONE_WITHIN)?;
    }
    Ok(())
}

/// Nothing is left of any cluster: no process, directory, address, row in use, quota, wake-up or lease. As for
/// `had_no_database`, see [`check_errors`].
pub(crate) fn check_nothing_left(bed: &Bed, had_no_database: bool) -> Result<()> {
    wait_until_well("nothing to be left", NOTHING_LEFT_WITHIN, || nothing_left(bed))?;
    check_doctor(bed)?;
    check_errors(bed, had_no_database)
}

/// No daemon has logged an ERROR, except about a database that was away, if it was since the last time.
pub(crate) fn check_errors(bed: &Bed, had_no_database: bool) -> Result<()> {
    let errors = bed.errors(had_no_database)?;
    ensure!(errors.is_empty(), "daemons complain: {}", errors.join("\n"));
    Ok(())
}

/// The doctor finds nothing, in what serves or is gone.
pub(crate) fn check_doctor(bed: &Bed) -> Result<()> {
    let report: Value = serde_json::from_str(&bed.operate(&["doctor", "--json"])?).context("the doctor's report")?;
    let findings = report.get("findings").and_then(Value::as_array).context("a report without findings")?;
    ensure!(findings.is_empty(), "the doctor finds {findings:?}");
    Ok(())
}

fn nothing_left(bed: &Bed) -> Result<()> {
    let processes: Vec<String> = of_stack(bed.layout().dir())
        .into_iter()
        .filter(|found| !STAY.contains(&found.name.as_str()) && found.name != "sh")
        .map(|found| format!("{} {} {}", found.process.pid, found.name, found.command_line))
        .collect();
    ensure!(processes.is_empty(), "processes are left: {processes:?}");
    let mut files = Vec::new();
    for entry in fs::read_dir(bed.layout().instances())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            // Half made, half removed, claims on addresses, locks.
            for inner in fs::read_dir(&path)? {
                files.push(inner?.path());
            }
        } else {
            files.push(path);
        }
    }
    ensure!(files.is_empty(), "files are left: {files:?}");
    let tasks = bed.ask(async |store| store.claimable(10).await)?;
    ensure!(tasks.is_empty(), "tasks wait: {tasks:?}");
    let running = bed.ask(async |store| store.tasks(None, 200).await)?;
    let running: Vec<String> =
        running.iter().filter(|task| !task.state.is_end()).map(|task| format!("{} {}", task.kind, task.id)).collect();
    ensure!(running.is_empty(), "tasks have not ended: {running:?}");
    let removed = bed.ask(async |store| store.removed_nodes(None).await)?;
    ensure!(removed.is_empty(), "removed nodes may be remembered: {removed:?}");
    let clusters = bed.ask(async |store| store.operator_clusters(Some(false), None, 10).await)?;
    ensure!(clusters.is_empty(), "clusters are there: {clusters:?}");
    let project = bed.project()?;
    let usages = bed.ask(async |store| store.usages(&project).await)?;
    for (resource, usage) in Resource::ALL.iter().zip(usages) {
        ensure!(usage.in_use == 0, "{} {resource:?} are in use", usage.in_use);
    }
    for queue in QUEUES {
        let count = bed.runtime.block_on(messages(&bed.broker_url()?, queue))?;
        ensure!(count == 0, "{count} messages lie in {queue}");
    }
    Ok(())
}

/// How many messages a queue holds that nobody has taken.
async fn messages(url: &str, queue: &str) -> Result<u32> {
    use lapin::options::QueueDeclareOptions;
    use lapin::{Connection, ConnectionProperties};

    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), passive, lapin::types::FieldTable::default()).await?;
    let count = queue.message_count();
    connection.close(0, "".into()).await?;
    Ok(count)
}
