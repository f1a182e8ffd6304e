//! Running one task: look, ask the plan, do what it says, record it, look again.
//!
//! A runner holds nothing that matters: whoever claims the task after it starts from what is seen. It stops without
//! a word when its lease is lost. When its daemon shuts down it breaks off looks and waits, lets steps that have begun
//! end for a moment, and gives the task back.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use redtrove_core::catalogue::DatastoreVersion;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::plan::{Failure, Next, Step, Wait};
use redtrove_core::{Fault, InstanceId};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::backoff::Backoff;
use crate::concurrent::all;
use crate::keeper::{Chain, HeldLease, keep};
use crate::operation::Work;
use crate::ports::{BegunStep, Change, Claimed, EndedStep, Ending, Order, Outcome, Record, StoreError};
use crate::steps::{self, Scene, StepError};
use crate::task::{StepOutcome, Task, Verdict};
use crate::{Counts, Options, World, operation};

/// How often the progress of a wait is written, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How long a task that ran into trouble of ours rests before it is claimed again.
const REST: Duration = Duration::from_secs(10);

/// How long steps that have begun may take to end once the daemon shuts down: more than any needs but the start of a
/// redis-server, and less than anybody waits for a daemon. One that is cut off is done again by whoever goes on.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// How long a task is tried to be given back; after that its lease runs out by itself.
const GIVES_BACK_WITHIN: Duration = Duration::from_secs(3);

/// Why a task is not driven any further.
enum Halt {
    Shutdown,
    Trouble(StoreError),
}

impl From<StoreError> for Halt {
    fn from(trouble: StoreError) -> Self {
        Self::Trouble(trouble)
    }
}

enum Stopped {
    Ended(Outcome),
    LeaseLost,
    Broken(StoreError),
    Panicked,
    Shutdown,
}

/// Runs a task that was claimed when it was `asked` for, until it ends, its lease is lost, or `shutdown`.
pub(crate) async fn run(
    world: &World,
    options: &Options,
    counts: &Counts,
    claimed: Claimed,
    asked: Instant,
    shutdown: &CancellationToken,
) {
    counts.claim();
    let task = &claimed.task;
    let span = info_span!(
        "task", task.id = %task.id, task.kind = %task.kind, cluster.id = %task.cluster, request.id = %task.request,
    );
    async {
        info!(attempt = task.attempt, "task {} begins: {} of cluster {}", task.id, task.kind, task.cluster);
        let lease = HeldLease::new(claimed.lease.clone());
        let driven = AssertUnwindSafe(Box::pin(drive_until_end(world, options, &lease, &claimed, asked, shutdown)));
        let stopped = tokio::select! {
            biased;
            stopped = driven.catch_unwind() => stopped.unwrap_or(Stopped::Panicked),
            () = keep(&*world.store, &lease, options.lease, asked) => Stopped::LeaseLost,
            () = async { shutdown.cancelled().await; sleep(LAST_STEPS).await } => Stopped::Shutdown,
        };
        match stopped {
            Stopped::Ended(outcome) => counts.end(&outcome),
            Stopped::LeaseLost => counts.lose(),
            Stopped::Shutdown => give_back(world, &lease, Duration::ZERO).await,
            Stopped::Panicked | Stopped::Broken(_) => {
                let trouble = match &stopped {
                    Stopped::Broken(trouble) => Chain(trouble).to_string(),
                    _ => "a step or a look panicked".to_owned(),
                };
                error!("task {} rests: {trouble}", task.id);
                if asked.elapsed() >= claimed.time_left && gives_up(world, &lease, &claimed).await {
                    counts.give_up();
                } else {
                    give_back(world, &lease, REST).await;
                }
            }
        }
    }
    .instrument(span)
    .await;
}

/// Gives the task back, to be claimed again after `pause`.
async fn give_back(world: &World, lease: &HeldLease, pause: Duration) {
    let lease = lease.get();
    match timeout(GIVES_BACK_WITHIN, world.store.release(&lease, pause)).await {
        Ok(Ok(())) => {}
        Ok(Err(trouble)) => info!(error = %Chain(&trouble), "task {} was not given back", lease.task),
        Err(_) => info!("task {} was not given back: the database does not answer", lease.task),
    }
}

/// Whether the task [is given up](give_up); that even this fails is logged.
async fn gives_up(world: &World, lease: &HeldLease, claimed: &Claimed) -> bool {
    let given_up = give_up(world, lease, claimed).await;
    if let Err(trouble) = &given_up {
        error!(error = %Chain(trouble), "task {} cannot be ended: {}", claimed.task.id, Chain(trouble));
    }
    given_up.is_ok()
}

/// Ends a task whose deadline has passed and that cannot be driven there, because of a mistake of ours.
async fn give_up(world: &World, lease: &HeldLease, claimed: &Claimed) -> Result<(), StoreError> {
    let cluster = world.store.cluster(claimed.task.cluster).await?;
    let instances = cluster.map_or_else(Vec::new, |(_, instances)| instances);
    let fault = Fault::internal(format!("not done within {} s, for an internal error", limit(claimed)));
    let ending = failure(&claimed.task, &instances, Failure { fault, members: Vec::new() }, Vec::new());
    world.store.finish(&lease.get(), &ending).await
}

/// Ends a task whose deadline has passed, in the name of somebody who does not drive it and claimed it when it was
/// `asked` for; false if its deadline has not passed.
pub(crate) async fn end_overdue(world: &World, claimed: Claimed, asked: Instant) -> Result<bool, StoreError> {
    let lease = HeldLease::new(claimed.lease.clone());
    let overdue = asked.elapsed() >= claimed.time_left;
    let ended = if overdue { give_up(world, &lease, &claimed).await.map(|()| true) } else { Ok(false) };
    if !matches!(ended, Ok(true)) {
        give_back(world, &lease, Duration::ZERO).await;
    }
    ended
}

/// How many seconds the task may take in all.
fn limit(claimed: &Claimed) -> u64 {
    claimed.task.deadline.since(claimed.task.created).as_secs()
}

/// The end of a task that failed.
fn failure(task: &Task, instances: &[Instance], failure: Failure, ended: Vec<EndedStep>) -> Ending {
    Ending {
        faults: operation::faults(task, instances, &failure),
        outcome: Outcome::Failed(failure.fault),
        cluster_deleted: false,
        lifecycles: Vec::new(),
        ended,
    }
}

/// Drives the task; a database that does not answer is waited for, for as long as the lease is kept.
async fn drive_until_end(
    world: &World,
    options: &Options,
    lease: &HeldLease,
    claimed: &Claimed,
    started: Instant,
    shutdown: &CancellationToken,
) -> Stopped {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let driven = async {
            let load = Runner::load(world, options, lease, claimed, started, shutdown);
            match shutdown.run_until_cancelled(load).await.ok_or(Halt::Shutdown)?? {
                Some(mut runner) => runner.drive().await,
                None => Err(StoreError::LeaseLost.into()),
            }
        };
        match driven.await {
            Ok(outcome) => return Stopped::Ended(outcome),
            Err(Halt::Shutdown) => return Stopped::Shutdown,
            Err(Halt::Trouble(StoreError::LeaseLost)) => return Stopped::LeaseLost,
            Err(Halt::Trouble(StoreError::Unavailable(trouble))) => {
                info!(error = %Chain(&*trouble), "the database does not answer, trying again");
                let pause = sleep(backoff.next(&*world.clock));
                if shutdown.run_until_cancelled(pause).await.is_none() {
                    return Stopped::Shutdown;
                }
            }
            Err(Halt::Trouble(trouble)) => return Stopped::Broken(trouble),
        }
    }
}

struct OpenWait {
    seq: u64,
    name: &'static str,
    pause: Duration,
    progress: String,
    written: Instant,
}

struct Runner<'a> {
    world: &'a World,
    options: &'a Options,
    lease: &'a HeldLease,
    claimed: &'a Claimed,
    started: Instant,
    shutdown: &'a CancellationToken,
    cluster: Cluster,
    version: DatastoreVersion,
    /// In member order.
    instances: Vec<Instance>,
    /// What was asked for is allowed.
    accepted: bool,
    last_seq: u64,
    wait: Option<OpenWait>,
    backoff: Backoff,
}

impl<'a> Runner<'a> {
    /// Reads what the task works on; nothing if the cluster is gone.
    async fn load(
        world: &'a World,
        options: &'a Options,
        lease: &'a HeldLease,
        claimed: &'a Claimed,
        started: Instant,
        shutdown: &'a CancellationToken,
    ) -> Result<Option<Self>, StoreError> {
        let Some((cluster, instances)) = world.store.cluster(claimed.task.cluster).await? else { return Ok(None) };
        let version = world.store.version(cluster.datastore.version_id).await?;
        let version = version.ok_or_else(|| StoreError::Corrupt {
            what: "datastore version of a cluster",
            value: cluster.datastore.version_id.to_string(),
        })?;
        let last_seq = world.store.steps(claimed.task.id).await?.last().map_or(0, |step| step.seq);
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        // What was accepted in this claim is in the row, not in what was claimed.
        let row = world.store.task(claimed.task.id).await?;
        let accepted = row.is_some_and(|task| task.verdict == Some(Verdict::Accepted));
        Ok(Some(Self {
            world,
            options,
            lease,
            claimed,
            started,
            shutdown,
            cluster,
            version,
            instances,
            accepted,
            last_seq,
            wait: None,
            backoff,
        }))
    }

    async fn drive(&mut self) -> Result<Outcome, Halt> {
        let driven = self.drive_on().await;
        if matches!(driven, Err(Halt::Shutdown)) {
            // Whoever goes on begins a wait of its own.
            let ended = self.end_wait(StepOutcome::Retry);
            if !ended.is_empty() {
                self.world.store.record(&self.lease.get(), &Record { ended, ..Record::default() }).await?;
            }
        }
        driven
    }

    async fn drive_on(&mut self) -> Result<Outcome, Halt> {
        loop {
            let work = Work {
                world: self.world,
                options: self.options,
                task: &self.claimed.task,
                instances: &self.instances,
                accepted: self.accepted,
                elapsed: self.claimed.begun_ago.saturating_add(self.started.elapsed()),
            };
            let look = operation::look(&work);
            match self.shutdown.run_until_cancelled(look).await.ok_or(Halt::Shutdown)?? {
                Next::Done => return Ok(self.succeed().await?),
                Next::Fail(failure) => return Ok(self.fail(failure).await?),
                Next::Refuse(fault) => return Ok(self.refuse(fault).await?),
                _ if self.started.elapsed() >= self.claimed.time_left => return Ok(self.fail(self.too_late()).await?),
                Next::Wait(wait) => self.wait(wait).await?,
                Next::Do(steps) => {
                    if let Some(failure) = self.perform(&steps).await? {
                        return Ok(self.fail(failure).await?);
                    }
                }
            }
        }
    }

    /// Pauses, but never past the deadline, as what that leads to is decided at the next look, nor past a shutdown.
    async fn pause(&self, pause: Duration) -> Result<(), Halt> {
        let pause = sleep(pause.min(self.claimed.time_left.saturating_sub(self.started.elapsed())));
        self.shutdown.run_until_cancelled(pause).await.ok_or(Halt::Shutdown)
    }

    fn too_late(&self) -> Failure {
        let last = self.wait.as_ref().map_or_else(String::new, |wait| format!(", {}", wait.progress));
        let limit = limit(self.claimed);
        Failure { fault: Fault::unavailable(format!("not done within {limit} s{last}")), members: Vec::new() }
    }

    fn next_seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// The end of the open wait, if there is one.
    fn end_wait(&mut self, outcome: StepOutcome) -> Vec<EndedStep> {
        let at = self.world.clock.now();
        self.wait.take().map(|wait| EndedStep { seq: wait.seq, outcome, error: None, at }).into_iter().collect()
    }

    /// Waits before the next look. All pauses of one wait are one line of the step log.
    async fn wait(&mut self, wait: Wait) -> Result<(), Halt> {
        let now = Instant::now();
        match &mut self.wait {
            Some(open) if open.name == wait.name => {
                open.pause = (open.pause + open.pause / 2).min(wait.longest);
                if open.progress != wait.progress && open.written.elapsed() >= PROGRESS_EVERY {
                    open.progress.clone_from(&wait.progress);
                    open.written = now;
                    let record = Record { progress: Some((wait.name, wait.progress)), ..Record::default() };
                    self.world.store.record(&self.lease.get(), &record).await?;
                }
            }
            _ => {
                let ended = self.end_wait(StepOutcome::Done);
                let seq = self.next_seq();
                let begun = vec![BegunStep { seq, name: wait.name, subject: None, at: self.world.clock.now() }];
                let progress = Some((wait.name, wait.progress.clone()));
                self.world.store.record(&self.lease.get(), &Record { ended, begun, progress, changes: vec![] }).await?;
                let (name, pause, progress) = (wait.name, wait.first, wait.progress);
                self.wait = Some(OpenWait { seq, name, pause, progress, written: now });
            }
        }
        let pause = self.wait.as_ref().map_or(wait.first, |open| open.pause);
        self.pause(pause).await
    }

    /// Does the steps, all at the same time; says so if one of them ends the task.
    async fn perform(&mut self, steps: &[Step]) -> Result<Option<Failure>, Halt> {
        let begun = self.begin(steps).await?;
        let results = self.run_steps(steps).await;
        let mut record = Record::default();
        let (mut done, mut retry, mut seen) = (false, None, None);
        let mut failed: Vec<(Option<InstanceId>, Fault)> = Vec::new();
        for ((step, seq), (result, at)) in steps.iter().zip(begun).zip(results) {
            let (outcome, error) = match result {
                Ok(changes) => {
                    done = true;
                    record.changes.extend(changes);
                    (StepOutcome::Done, None)
                }
                Err(StepError::Retry(why)) => {
                    retry.get_or_insert_with(|| format!("{step}: {why}"));
                    (StepOutcome::Retry, Some(why))
                }
                Err(StepError::OldGeneration { seen: newer }) => {
                    seen = seen.max(Some(newer));
                    (StepOutcome::Retry, Some(format!("the node has seen generation {newer}")))
                }
                Err(StepError::Fail(fault)) => {
                    let why = fault.message.clone();
                    failed.push((step.member(), fault));
                    (StepOutcome::Failed, Some(why))
                }
            };
            record.ended.push(EndedStep { seq, outcome, error, at });
        }
        self.world.store.record(&self.lease.get(), &record).await?;
        self.apply(&record.changes);
        if let Some((first, fault)) = failed.first() {
            let fault = Fault::new(fault.kind, format!("{}: {}", self.name_of(*first), fault.message));
            let members = failed.into_iter().filter_map(|(id, why)| Some((id?, why.message))).collect();
            return Ok(Some(Failure { fault, members }));
        }
        if let Some(seen) = seen {
            self.raise_generation(seen).await?;
        } else if let Some(why) = retry {
            self.pause_before_retry(done, &why).await?;
        } else {
            self.backoff.reset();
        }
        Ok(None)
    }

    async fn begin(&mut self, steps: &[Step]) -> Result<Vec<u64>, StoreError> {
        let (ended, at) = (self.end_wait(StepOutcome::Done), self.world.clock.now());
        let begun: Vec<BegunStep> = steps
            .iter()
            .map(|step| BegunStep { seq: self.next_seq(), name: step.name(), subject: step.member(), at })
            .collect();
        let seqs = begun.iter().map(|step| step.seq).collect();
        let progress = steps.first().map(|step| {
            let subject =
                if steps.len() == 1 { self.name_of(step.member()) } else { format!("{} members", steps.len()) };
            (step.name(), format!("{} of {subject}", step.name()))
        });
        self.world.store.record(&self.lease.get(), &Record { ended, begun, progress, changes: vec![] }).await?;
        Ok(seqs)
    }

    async fn run_steps(&self, wanted: &[Step]) -> Vec<(Result<Vec<Change>, StepError>, redtrove_core::Timestamp)> {
        let instances: HashMap<InstanceId, &Instance> = self.instances.iter().map(|i| (i.id, i)).collect();
        let order = Order { generation: self.lease.get().token, request: self.claimed.task.request.clone() };
        let (cluster, version, world) = (&self.cluster, &self.version, self.world);
        let scene = Scene { world, order, cluster, version, instances: &instances };
        let run = async |step| (steps::run(&scene, step).await, world.clock.now());
        all(wanted.iter().map(run).collect()).await
    }

    /// Guests ahead of the database mean that it was restored from a backup: go past them, if the lease still holds.
    async fn raise_generation(&mut self, seen: u64) -> Result<(), StoreError> {
        let held = self.lease.get();
        let raised = self.lease.raise(&*self.world.store, seen).await?;
        warn!(
            seen,
            raised = raised.token,
            "a node of cluster {} has seen generation {seen}, newer than this task's {}: going on as {}",
            self.cluster.id,
            held.token,
            raised.token
        );
        Ok(())
    }

    async fn pause_before_retry(&mut self, progress_was_made: bool, why: &str) -> Result<(), Halt> {
        if progress_was_made {
            self.backoff.reset();
        }
        let pause = self.backoff.next(&*self.world.clock);
        info!("{why}; trying again in {} ms", pause.as_millis());
        self.pause(pause).await
    }

    /// The name of whom a step is about.
    fn name_of(&self, id: Option<InstanceId>) -> String {
        let Some(id) = id else { return format!("cluster {}", self.cluster.name) };
        self.instances.iter().find(|instance| instance.id == id).map_or_else(|| id.to_string(), |i| i.name.clone())
    }

    /// Keeps in memory what was just written.
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            self.accepted |= *change == Change::Accepted;
            let id = change.instance();
            let Some(instance) = self.instances.iter_mut().find(|instance| Some(instance.id) == id) else { continue };
            match change {
                Change::Address { ip, .. } => instance.ip = Some(ip.clone()),
                Change::Node { node, .. } => instance.node_id = Some(*node),
                Change::Gone { .. } => instance.lifecycle = Lifecycle::Deleted,
                Change::Left { .. } if instance.lifecycle.may_become(Lifecycle::Deleting) => {
                    instance.lifecycle = Lifecycle::Deleting;
                }
                // Who owes what is read anew for each look.
                Change::Left { .. } | Change::Forgotten { .. } | Change::Accepted => {}
            }
        }
    }

    async fn succeed(&mut self) -> Result<Outcome, StoreError> {
        let kind = self.claimed.task.kind;
        let ending = Ending {
            outcome: Outcome::Succeeded,
            cluster_deleted: kind == crate::task::TaskKind::DeleteCluster,
            lifecycles: operation::lifecycles(&self.claimed.task, &self.instances),
            faults: Vec::new(),
            ended: self.end_wait(StepOutcome::Done),
        };
        self.world.store.finish(&self.lease.get(), &ending).await?;
        info!("task {} succeeded: {kind} of cluster {}", self.claimed.task.id, self.cluster.id);
        Ok(ending.outcome)
    }

    async fn refuse(&mut self, fault: Fault) -> Result<Outcome, StoreError> {
        let kind = self.claimed.task.kind;
        let ending = Ending {
            outcome: Outcome::Refused(fault.clone()),
            cluster_deleted: false,
            lifecycles: Vec::new(),
            faults: Vec::new(),
            ended: self.end_wait(StepOutcome::Done),
        };
        self.world.store.finish(&self.lease.get(), &ending).await?;
        info!("task {} is refused: {kind} of cluster {}: {fault}", self.claimed.task.id, self.cluster.id);
        Ok(ending.outcome)
    }

    async fn fail(&mut self, failure: Failure) -> Result<Outcome, StoreError> {
        let ended = self.end_wait(StepOutcome::Failed);
        let ending = self::failure(&self.claimed.task, &self.instances, failure, ended);
        self.world.store.finish(&self.lease.get(), &ending).await?;
        if let Outcome::Failed(fault) = &ending.outcome {
            let kind = self.claimed.task.kind;
            warn!("task {} failed: {kind} of cluster {}: {fault}", self.claimed.task.id, self.cluster.id);
        }
        Ok(ending.outcome)
    }
}
