//! One cell, from the cluster that is made for it to the moment when all is whole again.

use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use redtrove_core::InstanceId;
use redtrove_engine::task::{Task, TaskState};
use redtrove_testkit::http::Answer;
use redtrove_testkit::stack::Guest;
use redtrove_testkit::{pause, wait_for};
use serde::{Deserialize, Serialize};

use crate::batch;
use crate::bed::{Bed, EVERY_SECOND, SYNCED};
use crate::cell::{Cell, Member, Operation, Victim};
use crate::keys::{Acknowledged, Writer};
use crate::strike::{Struck, Target};
use crate::tenant::{Before, Cluster, Shown, slots};

/// Members of every cluster before the operation.
pub(crate) const MEMBERS: usize = 3;
/// How long a cluster may take to be made in calm.
const MADE_WITHIN: Duration = Duration::from_secs(40);
/// How long an operation may take until the accident: its step has to begin.
const STEP_BEGINS_WITHIN: Duration = Duration::from_secs(30);
/// An operation's own deadline (60 s), and what it takes to notice and to write it.
const ENDS_WITHIN: Duration = Duration::from_secs(60 + 30);
/// How long all may take to be whole once operation and accident are over.
const WHOLE_WITHIN: Duration = Duration::from_secs(45);
/// The pause between two looks for the step: the hit has to come while it runs.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How a cell ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The operation did what was asked for.
    Finished,
    /// It failed with this fault, and left everything as it was.
    Failed(String),
    /// The step ended before there was anybody to be hit.
    NoVictim,
    /// The operation took another way, without this step.
    NotReached,
}

/// What was seen of a cell that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    /// The step was still running after the hit.
    pub(crate) inside: bool,
    /// The victim was a member that had owned slots, and held writes that were acknowledged, before the operation.
    pub(crate) owner: bool,
    /// From the accident until the operation had ended, milliseconds.
    pub(crate) ended_ms: u64,
    /// From the accident until everything was whole again, milliseconds.
    pub(crate) whole_ms: u64,
    /// How often the task was claimed.
    pub(crate) attempts: u32,
    /// How many writes were acknowledged and read back.
    pub(crate) keys: usize,
    /// The names in the step log of the operation.
    pub(crate) steps: BTreeSet<String>,
}

impl Seen {
    /// Whether there was somebody to be hit.
    pub(crate) fn is_hit(&self) -> bool {
        !matches!(self.outcome, Outcome::NoVictim | Outcome::NotReached)
    }
}

/// A cell whose operation is over; its cluster is left for the end of the batch.
pub(crate) struct Trial {
    pub(crate) cluster: Cluster,
    pub(crate) seen: Seen,
    pub(crate) left: Left,
    /// What was written to it.
    pub(crate) acknowledged: Acknowledged,
}

/// What is left of a cell's cluster.
pub(crate) enum Left {
    /// All of it, with so many members.
    Whole(usize),
    /// Its operation failed; those who were there before stay as they were.
    AsBefore(Before),
    /// Nothing that serves: it is gone, or was never made.
    Nothing,
}

/// A cluster that is ready for an operation, and its tenant.
struct Ready {
    cluster: Cluster,
    before: Before,
    writer: Writer,
    leaver: Option<InstanceId>,
    /// Looked for now: once a step has begun, it may be too late.
    guests: Vec<Guest>,
}

/// An accident that has happened to somebody.
struct Hit {
    struck: Struck,
    /// The step still ran then.
    inside: bool,
    /// The victim is a member that owned slots before.
    owner: bool,
}

/// Runs a cell. An error is a promise that was broken.
pub(crate) fn run(bed: &Bed, cell: &Cell, name: &str) -> Result<Trial> {
    let trial = run_at_step(bed, cell, name)?;
    // A machine may be removed before anybody hits it: then the delete meets one that was hit before.
    if cell.operation == Operation::Delete && cell.victim.member().is_some() && !trial.seen.is_hit() {
        return run_before_request(bed, cell, &format!("{name}-before"));
    }
    Ok(trial)
}

fn run_before_request(bed: &Bed, cell: &Cell, name: &str) -> Result<Trial> {
    let version = version_for(cell);
    let ready = prepare(bed, cell.operation, name, version)?;
    let [member, .., other] = ready.before.owners[..] else { bail!("fewer than two members own slots") };
    let target = Target {
        victim: cell.victim,
        accident: cell.accident,
        taskmanager: String::new(),
        member: Some(member),
        other: Some(other),
        known: ready.guests.clone(),
    };
    let struck = target.strike(bed)?.context("a member that stands cannot be hit")?;
    let asked = ask(bed, cell.operation, name, version, Some(&ready))?;
    let hit = Hit { struck, inside: false, owner: true };
    finish(bed, cell, asked, Some(ready), Some(hit), Outcome::Finished)
}

/// What the cell's clusters run.
fn version_for(cell: &Cell) -> &'static str {
    if cell.victim.takes_redis() { SYNCED } else { EVERY_SECOND }
}

fn run_at_step(bed: &Bed, cell: &Cell, name: &str) -> Result<Trial> {
    let version = version_for(cell);
    let ready =
        (cell.operation != Operation::Create).then(|| prepare(bed, cell.operation, name, version)).transpose()?;
    let asked = ask(bed, cell.operation, name, version, ready.as_ref())?;
    let (task, target) = match wait_for_step(bed, cell, &asked.cluster, ready.as_ref())? {
        Some(found) => found,
        None => return finish(bed, cell, asked, ready, None, Outcome::NotReached),
    };
    let hit = hit(bed, cell, &task, &target, ready.as_ref())?;
    let outcome = if hit.is_some() { Outcome::Finished } else { Outcome::NoVictim };
    finish(bed, cell, asked, ready, hit, outcome)
}

/// Makes the cluster that an operation other than create needs, with a tenant that writes.
fn prepare(bed: &Bed, operation: Operation, name: &str, version: &str) -> Result<Ready> {
    let api = bed.api(1)?;
    let cluster = Cluster::create(api, name, version, MEMBERS)?;
    let (mut shown, mut views) = cluster.wait_whole(api, MEMBERS, MADE_WITHIN).context("before the operation")?;
    let mut leaver = None;
    if operation == Operation::Shrink {
        // Somebody who owns no slots.
        cluster.grow(api, 1)?.expect_status(202)?;
        (shown, views) = cluster.wait_whole(api, MEMBERS + 1, MADE_WITHIN).context("before the operation")?;
        leaver = shown.members.last().map(|member| member.id);
    }
    let writer = Writer::start(shown.addresses(), name)?;
    Ok(Ready { cluster, before: Before::of(shown, &views), writer, leaver, guests: bed.guests()? })
}

/// An operation that was asked for; a shrink is answered when it is accepted.
struct Asked {
    cluster: Cluster,
    answer: Option<JoinHandle<Result<Answer>>>,
}

fn ask(bed: &Bed, operation: Operation, name: &str, version: &str, ready: Option<&Ready>) -> Result<Asked> {
    let api = bed.api(0)?.clone();
    let Some(ready) = ready else {
        return Ok(Asked { cluster: Cluster::create(&api, name, version, MEMBERS)?, answer: None });
    };
    let (cluster, leaver) = (ready.cluster.clone(), ready.leaver);
    let asking = cluster.clone();
    let answer = std::thread::spawn(move || match (operation, leaver) {
        (Operation::Grow, _) => asking.grow(&api, 1),
        (Operation::Delete, _) => asking.delete(&api),
        (_, Some(leaver)) => asking.shrink(&api, leaver),
        _ => bail!("nobody is there to leave"),
    });
    Ok(Asked { cluster, answer: Some(answer) })
}

/// Waits until the step of the cell begins: the task, and who is to be hit. None if the task ends without it.
fn wait_for_step(bed: &Bed, cell: &Cell, cluster: &Cluster, ready: Option<&Ready>) -> Result<Option<(Task, Target)>> {
    let begun = Instant::now();
    loop {
        if let Some(task) = bed.task(cluster.id, cell.operation.kind())? {
            let steps = bed.steps(&task)?;
            if let Some(step) = steps.iter().find(|step| step.name == cell.step) {
                let target = target(bed, cell, cluster, &task, step.subject, ready)?;
                return Ok(Some((task, target)));
            }
            if task.state.is_end() {
                return Ok(None);
            }
        }
        ensure!(
            begun.elapsed() < STEP_BEGINS_WITHIN,
            "no step {} within {} s",
            cell.step,
            STEP_BEGINS_WITHIN.as_secs()
        );
        pause(LOOK_EVERY);
    }
}

fn target(
    bed: &Bed,
    cell: &Cell,
    cluster: &Cluster,
    task: &Task,
    subject: Option<InstanceId>,
    ready: Option<&Ready>,
) -> Result<Target> {
    let taskmanager = task.lease_owner.clone().unwrap_or_else(|| "taskmanager".to_owned());
    let mut members: Vec<InstanceId> = match ready {
        Some(ready) => ready.before.shown.members.iter().map(|member| member.id).collect(),
        None => Vec::new(),
    };
    if members.is_empty() || cell.operation == Operation::Grow {
        // Those that are being made are not known before.
        let rows = bed.ask(async |store| store.cluster(cluster.id).await)?;
        members = rows.map(|(_, instances)| instances.iter().map(|row| row.id).collect()).unwrap_or_default();
    }
    let owners = ready.map(|ready| ready.before.owners.as_slice()).unwrap_or_default();
    let (member, others) = match cell.victim.member() {
        Some(Member::Owner) => (owners.first().copied(), owners),
        Some(Member::Subject) | None => (subject.or_else(|| members.last().copied()), members.as_slice()),
    };
    let other = others.iter().copied().find(|id| Some(*id) != member);
    let known = ready.map(|ready| ready.guests.clone()).unwrap_or_default();
    Ok(Target { victim: cell.victim, accident: cell.accident, taskmanager, member, other, known })
}

/// Hits, as soon as whom it is meant for is there; none if the operation ends before.
fn hit(bed: &Bed, cell: &Cell, task: &Task, target: &Target, ready: Option<&Ready>) -> Result<Option<Hit>> {
    let begun = Instant::now();
    let struck = loop {
        if let Some(struck) = target.strike(bed)? {
            break struck;
        }
        let ended = bed.task(task.cluster, task.kind)?.is_none_or(|task| task.state.is_end());
        if ended || begun.elapsed() >= STEP_BEGINS_WITHIN {
            return Ok(None);
        }
        pause(LOOK_EVERY);
    };
    // Without the database nobody can be asked.
    let steps = if cell.victim == Victim::Database { Vec::new() } else { bed.steps(task)? };
    let inside = steps.iter().any(|step| step.name == cell.step && step.ended.is_none());
    let is_owner = |member: InstanceId| ready.is_some_and(|ready| ready.before.owners.contains(&member));
    let owner = cell.victim.member().is_some() && target.member.is_some_and(is_owner);
    Ok(Some(Hit { struck, inside, owner }))
}

/// Waits for the end of the operation and of the accident, and until all is whole.
fn finish(
    bed: &Bed,
    cell: &Cell,
    asked: Asked,
    ready: Option<Ready>,
    hit: Option<Hit>,
    outcome: Outcome,
) -> Result<Trial> {
    let (inside, owner) = hit.as_ref().map_or((false, false), |hit| (hit.inside, hit.owner));
    let mut struck = hit.map(|hit| hit.struck);
    let at = struck.as_ref().map_or_else(Instant::now, |struck| struck.at);
    let ended = wait_ended(bed, cell, &asked.cluster, struck.as_mut());
    // In any case: the next cell begins in a world that is in order.
    let mended = over(bed, struck.as_mut());
    let (task, ended_after) = ended?;
    mended?;
    if let Some(answer) = asked.answer {
        // The API that was asked may have been the victim; otherwise it answers as ever.
        let answer = answer.join().map_err(|_| anyhow!("the request broke"))?;
        match (cell.victim, answer) {
            // Who was to answer may have been killed.
            (Victim::Api, _) => {}
            // It may have broken off or come too late, but not with something else than JSON.
            (Victim::Database, Err(error)) if !error.is::<serde_json::Error>() => {}
            (Victim::Database, Ok(answer)) if answer.status == 503 => {}
            (_, answer) => drop(answer?.expect_status(202).context("the request")?),
        }
    }
    bed.wait_up()?;
    let (outcome, left, acknowledged) = match (task.state, cell.operation) {
        (TaskState::Succeeded, Operation::Delete) => {
            asked.cluster.wait_gone(bed.api(1)?, WHOLE_WITHIN)?;
            (outcome, Left::Nothing, Acknowledged::default())
        }
        (TaskState::Succeeded, operation) => {
            let members = if operation == Operation::Grow { MEMBERS + 1 } else { MEMBERS };
            let acknowledged = check_whole(bed, &asked.cluster, ready, members)?;
            (outcome, Left::Whole(members), acknowledged)
        }
        _ => {
            let fault = task.fault.clone().unwrap_or_default();
            ensure!(!fault.is_empty(), "the operation failed and does not say why");
            ensure!(struck.is_some(), "the operation failed although nobody was hit: {fault}");
            ensure!(cell.operation != Operation::Delete, "a delete failed: {fault}");
            let (left, acknowledged) = check_failed(bed, &asked.cluster, ready)?;
            (Outcome::Failed(fault), left, acknowledged)
        }
    };
    let steps = bed.steps(&task)?.into_iter().map(|step| step.name).collect();
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (ended_ms, whole_ms) = (ms(ended_after.saturating_duration_since(at)), ms(at.elapsed()));
    let seen =
        Seen { outcome, inside, owner, ended_ms, whole_ms, attempts: task.attempt, keys: acknowledged.count(), steps };
    batch::check_held_addresses(bed)?;
    Ok(Trial { cluster: asked.cluster, seen, left, acknowledged })
}

/// Waits until the task has ended, and mends the accident when its time has come.
fn wait_ended(bed: &Bed, cell: &Cell, cluster: &Cluster, mut struck: Option<&mut Struck>) -> Result<(Task, Instant)> {
    let mut last = String::new();
    let ended = wait_for("the operation to end", ENDS_WITHIN, || {
        if let Some(struck) = &mut struck {
            struck.tick(bed)?;
        }
        // The database may be dead for a while.
        let Ok(Some(task)) = bed.task_briefly(cluster.id, cell.operation.kind()) else { return Ok(None) };
        last = format!("{} in {:?}: {:?}", task.state, task.step, task.progress);
        Ok(task.state.is_end().then(|| (task, Instant::now())))
    });
    ended.with_context(|| format!("the operation is not over {} s after the accident: {last}", ENDS_WITHIN.as_secs()))
}

/// Waits for the end of the accident; one that lasts as long as the operation ends now.
fn over(bed: &Bed, struck: Option<&mut Struck>) -> Result<()> {
    let Some(struck) = struck else { return Ok(()) };
    while !struck.is_over() {
        struck.tick(bed)?;
        pause(Duration::from_millis(20));
    }
    struck.mend(bed)
}

/// The cluster has so many members, slots are where they were, and no write is lost.
fn check_whole(bed: &Bed, cluster: &Cluster, ready: Option<Ready>, members: usize) -> Result<Acknowledged> {
    let api = bed.api(1)?;
    let (shown, views) = cluster.wait_whole(api, members, WHOLE_WITHIN)?;
    let Some(ready) = ready else {
        // The first writes ever.
        let writer = Writer::start(shown.addresses(), "first-")?;
        return check_keys(writer, &shown);
    };
    let now = views.first().map(|view| slots(view)).unwrap_or_default();
    ensure!(now == ready.before.slots, "slots moved: {:?}, not {:?}", now, ready.before.slots);
    ready.writer.wait_for_more(30).context("after the operation")?;
    check_keys(ready.writer, &shown)
}

fn check_keys(writer: Writer, shown: &Shown) -> Result<Acknowledged> {
    let acknowledged = writer.stop()?;
    acknowledged.check(&shown.addresses())?;
    Ok(acknowledged)
}

/// What failed says so: the cluster is idle with a fault, members of before are as they were and agree on whose slots
/// are whose, those that were being made say why they are not there.
fn check_failed(bed: &Bed, cluster: &Cluster, ready: Option<Ready>) -> Result<(Left, Acknowledged)> {
    let api = bed.api(1)?;
    let shown = match &ready {
        Some(ready) => cluster.wait_as_before(api, &ready.before, WHOLE_WITHIN)?,
        None => cluster.show(api)?,
    };
    ensure!(shown.task == "NONE" && shown.fault.is_some(), "task {}, fault {:?}", shown.task, shown.fault);
    let is_old = |id| ready.iter().flat_map(|ready| &ready.before.shown.members).any(|member| member.id == id);
    let silent = shown.members.iter().find(|member| !is_old(member.id) && !member.has_fault);
    ensure!(silent.is_none(), "a member that was not made does not say so: {silent:?}");
    let Some(ready) = ready else { return Ok((Left::Nothing, Acknowledged::default())) };
    ready.writer.wait_for_more(30).context("after the operation that failed")?;
    let acknowledged = check_keys(ready.writer, &ready.before.shown)?;
    Ok((Left::AsBefore(ready.before), acknowledged))
}

/// Grows a whole cluster by a member and has it leave again, in calm.
pub(crate) fn grow_and_shrink(bed: &Bed, trial: &Trial) -> Result<()> {
    let (&Left::Whole(members), api) = (&trial.left, bed.api(1)?) else { return Ok(()) };
    trial.cluster.grow(api, 1)?.expect_status(202)?;
    let (shown, _) = trial.cluster.wait_whole(api, members + 1, MADE_WITHIN).context("grown after the cell")?;
    let leaver = shown.members.last().context("nobody joined")?.id;
    trial.cluster.shrink(api, leaver)?.expect_status(202)?;
    let (shown, _) = trial.cluster.wait_whole(api, members, MADE_WITHIN).context("shrunk after the cell")?;
    trial.acknowledged.check(&shown.addresses()).context("grown and shrunk after the cell")
}

/// The steps that an operation takes when nothing happens, by name, in the order in which they first begin.
pub(crate) fn steps(bed: &Bed, operation: Operation, name: &str) -> Result<Vec<String>> {
    let ready = (operation != Operation::Create).then(|| prepare(bed, operation, name, EVERY_SECOND)).transpose()?;
    let asked = ask(bed, operation, name, EVERY_SECOND, ready.as_ref())?;
    let task = wait_for("the operation to end in calm", ENDS_WITHIN, || {
        let task = bed.task(asked.cluster.id, operation.kind())?;
        Ok(task.filter(|task| task.state.is_end()))
    })?;
    ensure!(task.state == TaskState::Succeeded, "{} fails in calm: {:?}", operation.name(), task.fault);
    let mut names: Vec<String> = Vec::new();
    for step in bed.steps(&task)? {
        if !names.contains(&step.name) {
            names.push(step.name);
        }
    }
    if let Some(answer) = asked.answer {
        answer.join().map_err(|_| anyhow!("the request broke"))??.expect_status(202)?;
    }
    if operation != Operation::Delete {
        asked.cluster.delete(bed.api(1)?)?.expect_status(202)?;
        asked.cluster.wait_gone(bed.api(1)?, WHOLE_WITHIN)?;
    }
    Ok(names)
}
