//! redtrove's side: a private stack, one cluster through REST, and the times of the step log.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use redtrove_testkit::redis::PORT;
use redtrove_testkit::{Stack, StackOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agreement::{View, check};
use super::peer::UPTIME;
use super::resp::Connection;
use crate::bench::Bench;
use crate::say;

/// How long a create may take, the start of a hundred guests included.
const ACTIVE_WITHIN: Duration = Duration::from_secs(600);

/// From the first epoch or slot call to verified agreement, of nodes that have been up for three seconds.
pub(super) fn form(bench: &Bench<'_>, size: usize) -> Result<Duration> {
    let dir = bench.fresh_dir("ours")?;
    let stack = start(bench, &dir, UPTIME)?;
    let created = create(bench, &stack, size, Duration::from_millis(200))?;
    let steps = step_log(bench, &stack, &created.cluster)?;
    stack.end()?;
    say::note(&format!("    {}", phases(&steps)));
    formation_time(&steps, size)
}

/// From the request to ACTIVE, all of it: processes are started, certificates issued, the cluster formed.
pub(super) fn create_to_active(bench: &Bench<'_>, size: usize) -> Result<Duration> {
    let dir = bench.fresh_dir("create")?;
    let stack = start(bench, &dir, Duration::ZERO)?;
    let created = create(bench, &stack, size, Duration::from_millis(20))?;
    stack.end()?;
    Ok(created.took)
}

/// Without a broker: it would be one more process that takes turns on the cores, and the way from request to
/// taskmanager is no part of a formation.
fn start(bench: &Bench<'_>, dir: &Path, uptime: Duration) -> Result<Stack> {
    let mut options = StackOptions::new(dir, bench.binaries.clone());
    options.taskmanager = json!({"taskmanager": {"min_uptime_before_forming": uptime.as_secs()}});
    Stack::start(&options, &|_| bench.interrupt.check())
}

struct Created {
    cluster: String,
    took: Duration,
}

/// Creates a cluster, waits until it is ACTIVE and asks its nodes whether that is true.
fn create(bench: &Bench<'_>, stack: &Stack, size: usize, look_every: Duration) -> Result<Created> {
    let client = stack.client();
    let member = json!({"flavorRef": "1", "volume": {"size": 1}});
    let datastore = json!({"type": "redis", "version": "7.0"});
    let body = json!({"cluster": {"name": "bench", "datastore": datastore, "instances": vec![member; size]}});
    let started = Instant::now();
    let accepted = client.post("/clusters", &body)?.expect_status(202).context("the cluster was not accepted")?;
    let cluster = accepted.pointer("/cluster/id").and_then(Value::as_str).context("the answer names no cluster")?;
    let path = format!("/clusters/{cluster}");
    let addresses = bench.wait_for("the cluster to be ACTIVE", ACTIVE_WITHIN, look_every, || {
        finished(&client.get(&path)?.expect_status(200)?)
    })?;
    let took = started.elapsed();
    ensure!(addresses.len() == size, "{} members are shown instead of {size}", addresses.len());
    let view = |at: &SocketAddrV4| View::ask(&mut Connection::open(*at)?);
    let views: Vec<View> = addresses.iter().map(view).collect::<Result<_>>()?;
    check(&views, size).context("the cluster is ACTIVE and its nodes do not agree")?;
    Ok(Created { cluster: cluster.to_owned(), took })
}

/// The addresses of a cluster that is done, all members ACTIVE.
fn finished(shown: &Value) -> Result<Option<Vec<SocketAddrV4>>> {
    if let Some(fault) = shown.pointer("/cluster/fault").filter(|fault| !fault.is_null()) {
        bail!("the cluster was not made: {fault}");
    }
    let members = shown.pointer("/cluster/instances").and_then(Value::as_array).context("no members are shown")?;
    let active = |member: &Value| member.pointer("/status").and_then(Value::as_str) == Some("ACTIVE");
    let done = shown.pointer("/cluster/task/name").and_then(Value::as_str) == Some("NONE");
    if !done || !members.iter().all(active) {
        return Ok(None);
    }
    let address = |member: &Value| {
        let ip = member.pointer("/ip/0").and_then(Value::as_str).context("a member shows no address")?;
        Ok(SocketAddrV4::new(ip.parse::<Ipv4Addr>()?, PORT))
    };
    members.iter().map(address).collect::<Result<_>>().map(Some)
}

/// A line of the step log; times in milliseconds.
#[derive(Debug, Deserialize)]
struct Step {
    name: String,
    started: i64,
    ended: Option<i64>,
}

/// What the operator's verb tells of the task that made the cluster.
fn step_log(bench: &Bench<'_>, stack: &Stack, cluster: &str) -> Result<Vec<Step>> {
    let verb = |words: &[&str]| -> Result<Value> {
        let mut command = Command::new(&bench.binaries.taskmanager);
        command.arg("--config").arg(stack.layout().config("taskmanager")).args(words).arg("--json");
        let output = command.output().context("cannot run redtrove-taskmanager")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "redtrove-taskmanager {} failed: {said}", words.join(" "));
        serde_json::from_slice(&output.stdout).context("redtrove-taskmanager does not print JSON")
    };
    let tasks = verb(&["task", "list", "--cluster", cluster])?;
    let task = tasks.pointer("/0/id").and_then(Value::as_str).context("the cluster has no task")?;
    let shown = verb(&["task", "show", task])?;
    let steps = shown.get("steps").cloned().context("the task has no steps")?;
    serde_json::from_value(steps).context("the step log is not as expected")
}

fn formation_time(steps: &[Step], size: usize) -> Result<Duration> {
    let slots = || steps.iter().filter(|step| step.name == "cluster_addslots");
    ensure!(slots().count() >= size, "the step log has {} calls for slots, not {size}", slots().count());
    let first = slots().map(|step| step.started).min().context("no slots were given")?;
    // The look that finds agreement ends `verify`, if it had to be waited for, and begins this in the same moment.
    let agreed = steps.iter().filter(|step| step.name == "cluster_complete").map(|step| step.started).min();
    let took = agreed.context("the step log tells of no verified agreement")? - first;
    Ok(Duration::from_millis(u64::try_from(took).context("the agreement came before the slots")?))
}

/// Where the time went, in words: each phase of the formation from its first start to its last end.
fn phases(steps: &[Step]) -> String {
    let mut words = Vec::new();
    for name in ["cluster_addslots", "cluster_meet", "verify", "cluster_complete"] {
        let lines = || steps.iter().filter(|step| step.name == name);
        let (Some(start), Some(end)) =
            (lines().map(|step| step.started).min(), lines().filter_map(|step| step.ended).max())
        else {
            continue;
        };
        words.push(format!("{name} {} ms", end - start));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Step, finished, formation_time, phases};

    fn log(steps: Value) -> Vec<Step> {
        serde_json::from_value(steps).expect("steps")
    }

    #[test]
    fn a_formation_is_from_the_first_slots_to_the_look_that_found_agreement() {
        let steps = log(json!([
            {"seq": 1, "name": "prepare", "started": 1_000, "ended": 1_200},
            {"seq": 2, "name": "cluster_addslots", "started": 4_010, "ended": 4_020},
            {"seq": 3, "name": "cluster_addslots", "started": 4_005, "ended": 4_030},
            {"seq": 4, "name": "cluster_meet", "started": 4_040, "ended": 4_050},
            {"seq": 5, "name": "verify", "started": 4_060, "ended": 4_400},
            {"seq": 6, "name": "cluster_meet", "started": 4_400, "ended": 4_410},
            {"seq": 7, "name": "verify", "started": 4_410, "ended": 4_605},
            {"seq": 8, "name": "cluster_complete", "started": 4_605, "ended": 4_620},
        ]));
        assert_eq!(formation_time(&steps, 2).expect("a time"), Duration::from_millis(600));
        assert_eq!(
            phases(&steps),
            "cluster_addslots 25 ms, cluster_meet 370 ms, verify 545 ms, cluster_complete 15 ms"
        );
        assert!(formation_time(&steps, 3).is_err(), "one member's slots are missing");
        assert!(formation_time(&steps[..7], 2).is_err(), "nothing was verified");
    }

    #[test]
    fn only_a_cluster_whose_members_are_all_active_is_done() {
        let shown = |task: &str, status: &str| {
            let member = |status: &str| json!({"status": status, "ip": ["127.20.0.5"]});
            json!({"cluster": {"task": {"name": task}, "instances": [member("ACTIVE"), member(status)]}})
        };
        assert_eq!(finished(&shown("BUILDING", "ACTIVE")).expect("not done"), None);
        assert_eq!(finished(&shown("NONE", "BUILD")).expect("not done"), None);
        assert_eq!(finished(&shown("NONE", "ACTIVE")).expect("done").expect("addresses").len(), 2);
        assert!(finished(&json!({"cluster": {"fault": {"message": "no memory"}, "instances": []}})).is_err());
    }
}
