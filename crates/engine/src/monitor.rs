//! The monitor: asks every complete member how it is, and writes what changed.
//!
//! Rounds begin one heartbeat after another. A member that does not answer is given up after half of one, so that it is
//! known to be silent before the second heartbeat has passed since it last answered, and silent since then.

mod slots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redtrove_core::instance::{Heard, Instance, RedisState};
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotSet, Timestamp};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::complaints::Complaints;
use crate::concurrent::all_within;
use crate::ports::{Guest, GuestError, GuestStatus, StoreError};
use crate::{Options, Seen, World, debts};

/// How many members are asked at the same time. More than the silent ones among them: each of these keeps a place for
/// as long as it may take to answer.
const AT_THE_SAME_TIME: usize = 256;

/// What the monitor remembers from one round to the next.
#[derive(Debug, Default)]
struct Memory {
    /// When the round began in which each member last answered.
    heard: HashMap<InstanceId, Timestamp>,
    /// What the clusters that lacked slots in the last round served.
    lacking: BTreeMap<ClusterId, SlotSet>,
}

/// Watches until shutdown, whenever this engine holds the monitor's lease.
pub(crate) async fn run(world: &World, options: &Options, seen: &Seen, shutdown: &CancellationToken) {
    let looked = Notify::new();
    let watch = async {
        let mut memory = Memory::default();
        let mut complaints = Complaints::default();
        let mut ticks = interval(options.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            complaints.hear("a round of the monitor", round(world, options, seen, &mut memory, &looked).await);
        }
    };
    // Beside the rounds: members that owe and do not answer must not keep others from being looked at.
    let settle = async {
        let mut complaints = Complaints::default();
        loop {
            looked.notified().await;
            complaints.hear("settling of debts", debts::settle(world).await);
        }
    };
    // What a round has not written yet is asked again by the next monitor.
    shutdown.run_until_cancelled(async { tokio::join!(watch, settle) }).await;
}

async fn round(
    world: &World,
    options: &Options,
    seen: &Seen,
    memory: &mut Memory,
    looked: &Notify,
) -> Result<(), StoreError> {
    let lease = options.heartbeat.saturating_mul(3).max(Duration::from_secs(3));
    if !world.store.take_monitor(&options.owner, lease).await? {
        *memory = Memory::default();
        seen.put_unserved(0);
        return Ok(());
    }
    let watched = tokio::select! {
        watched = watch(world, options, seen, memory, lease) => watched,
        () = keep(world, options, lease) => Ok(()),
    };
    // Members that cannot be told of are no reason to leave others in debt.
    looked.notify_one();
    watched
}

/// Renews the right while a round takes longer than a heartbeat, as it does where thousands of members are silent. Ends
/// when another has it.
async fn keep(world: &World, options: &Options, lease: Duration) {
    loop {
        sleep(options.heartbeat).await;
        // Of a database that does not answer the round hears by itself.
        if let Ok(false) = world.store.take_monitor(&options.owner, lease).await {
            return;
        }
    }
}

/// How long a member has to say how it is: half of the pause between two looks, a second at least. Whoever implements
/// [`Guests`](crate::Guests) has to tell the agent, which then says in time that its redis-server hangs.
pub fn status_within(heartbeat: Duration) -> Duration {
    (heartbeat / 2).max(Duration::from_secs(1))
}

async fn watch(
    world: &World,
    options: &Options,
    seen: &Seen,
    memory: &mut Memory,
    lease: Duration,
) -> Result<(), StoreError> {
    let began = world.store.now().await?;
    let instances = world.store.complete_instances().await?;
    let limit = status_within(options.heartbeat);
    let asked = instances.iter().map(|instance| ask(world, instance, limit)).collect();
    let answers = all_within(AT_THE_SAME_TIME, asked).await;
    let now = world.store.now().await?;
    let failed = failed_of(&instances, &answers);
    let changed = changes(&instances, &answers, &failed, &memory.heard, now);
    let served = world.store.slots_served().await?;
    let slots = slots::news(&instances, &answers, &failed, &served, &mut memory.lacking);
    seen.put_unserved(slots::unserved(&served, &slots));
    let answered = instances.iter().zip(&answers).filter(|(_, answer)| heard(answer));
    let answered: HashMap<InstanceId, Timestamp> = answered.map(|(instance, _)| (instance.id, began)).collect();
    // Who is silent keeps its time until that is written, which may take another round.
    let present: BTreeSet<InstanceId> = instances.iter().map(|instance| instance.id).collect();
    memory.heard.retain(|id, _| present.contains(id));
    memory.heard.extend(answered);
    if changed.is_empty() && slots.is_empty() {
        return Ok(());
    }
    // Once more: a round that took longer than the lease has an older word than the monitor that took over.
    if !world.store.take_monitor(&options.owner, lease).await? {
        return Ok(());
    }
    if !changed.is_empty() {
        world.store.put_heard(&changed).await?;
    }
    if !slots.is_empty() {
        world.store.put_slots_served(&slots).await?;
    }
    Ok(())
}

async fn ask(world: &World, instance: &Instance, limit: Duration) -> Result<GuestStatus, GuestError> {
    let Some(ip) = &instance.ip else { return Err(GuestError::Silent("it has no address".to_owned())) };
    let guest = Guest { instance: instance.id, ip: ip.clone() };
    let answer = timeout(limit, world.guests.status(&guest)).await;
    answer.unwrap_or_else(|_| Err(GuestError::Silent(format!("no answer within {limit:?}"))))
}

/// Whether its agent answered, whatever it said.
fn heard(answer: &Result<GuestStatus, GuestError>) -> bool {
    matches!(answer, Ok(_) | Err(GuestError::RedisDown(_)))
}

/// What is news in the answers. A member that has fallen silent is so since it was last `heard`, or since `now`.
fn changes(
    instances: &[Instance],
    answers: &[Result<GuestStatus, GuestError>],
    failed: &Failed,
    last_heard: &HashMap<InstanceId, Timestamp>,
    now: Timestamp,
) -> Vec<(InstanceId, Heard)> {
    let news = instances.iter().zip(answers).filter_map(|(instance, answer)| {
        let since = last_heard.get(&instance.id).copied().unwrap_or(now);
        let heard = hear(&instance.heard, answer, failed.holds(instance), since);
        (heard != instance.heard).then_some((instance.id, heard))
    });
    news.collect()
}

/// The nodes of each cluster that are held for failed by most of its members that answer.
struct Failed(HashMap<ClusterId, BTreeSet<NodeId>>);

impl Failed {
    /// Whether the node of this instance is one of them.
    fn holds(&self, instance: &Instance) -> bool {
        let failed = self.0.get(&instance.cluster);
        instance.node_id.is_some_and(|node| failed.is_some_and(|failed| failed.contains(&node)))
    }
}

fn failed_of(instances: &[Instance], answers: &[Result<GuestStatus, GuestError>]) -> Failed {
    let mut heard_in: HashMap<ClusterId, Vec<&GuestStatus>> = HashMap::new();
    for (instance, answer) in instances.iter().zip(answers) {
        if let Ok(status) = answer {
            heard_in.entry(instance.cluster).or_default().push(status);
        }
    }
    Failed(heard_in.iter().map(|(cluster, statuses)| (*cluster, held_failed(statuses))).collect())
}

/// The nodes that more than half of those who answer hold for failed.
fn held_failed(statuses: &[&GuestStatus]) -> BTreeSet<NodeId> {
    let answering: Vec<_> = statuses.iter().filter(|status| status.redis == RedisState::Running).collect();
    let mut counts: HashMap<NodeId, usize> = HashMap::new();
    for node in answering.iter().flat_map(|status| status.failed.iter().collect::<BTreeSet<_>>()) {
        *counts.entry(*node).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| count * 2 > answering.len()).map(|(node, _)| node).collect()
}

fn hear(before: &Heard, answer: &Result<GuestStatus, GuestError>, held_failed: bool, silent_since: Timestamp) -> Heard {
    match answer {
        Ok(status) => Heard {
            redis: status.redis,
            silent_since: None,
            held_failed,
            volume_used_mb: Some(status.volume_used_bytes.div_ceil(1024 * 1024)),
        },
        Err(GuestError::RedisDown(_)) => {
            Heard { redis: RedisState::Down, silent_since: None, held_failed, ..before.clone() }
        }
        Err(_) => Heard { silent_since: before.silent_since.or(Some(silent_since)), held_failed, ..before.clone() },
    }
}

#[cfg(test)]
mod tests;
