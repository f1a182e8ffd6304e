//! The monitor: asks every complete member how it is, and writes what changed.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use redtrove_core::instance::{Heard, Instance, RedisState};
use redtrove_core::{ClusterId, InstanceId, NodeId, Timestamp};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::concurrent::all;
use crate::keeper::Chain;
use crate::ports::{Guest, GuestError, GuestStatus, StoreError};
use crate::{Options, World, debts};

/// Watches until shutdown, whenever this engine holds the monitor's lease.
pub(crate) async fn run(world: &World, options: &Options, shutdown: &CancellationToken) {
    loop {
        // A round with silent guests is long, and what it has not written yet is asked again by the next monitor.
        let next = async {
            if let Err(error) = round(world, options).await {
                info!(error = %Chain(&error), "a round of the monitor failed: {}", Chain(&error));
            }
            sleep(options.heartbeat).await;
        };
        tokio::select! {
            biased;
            () = next => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn round(world: &World, options: &Options) -> Result<(), StoreError> {
    let lease = options.heartbeat.saturating_mul(3).max(Duration::from_secs(3));
    if !world.store.take_monitor(&options.owner, lease).await? {
        return Ok(());
    }
    let watched = watch(world, options, lease).await;
    // Members that cannot be told of are no reason to leave others in debt.
    debts::settle(world).await.and(watched)
}

async fn watch(world: &World, options: &Options, lease: Duration) -> Result<(), StoreError> {
    let instances = world.store.complete_instances().await?;
    if instances.is_empty() {
        return Ok(());
    }
    let answers = all(instances.iter().map(|instance| ask(world, instance)).collect()).await;
    let now = world.store.now().await?;
    let changed = changes(&instances, &answers, now);
    // Once more: a round that took longer than the lease has an older word than the monitor that took over.
    if !changed.is_empty() && world.store.take_monitor(&options.owner, lease).await? {
        world.store.put_heard(&changed).await?;
    }
    Ok(())
}

async fn ask(world: &World, instance: &Instance) -> Result<GuestStatus, GuestError> {
    match &instance.ip {
        Some(ip) => world.guests.status(&Guest { instance: instance.id, ip: ip.clone() }).await,
        None => Err(GuestError::Silent("it has no address".to_owned())),
    }
}

/// What is news in the answers.
fn changes(
    instances: &[Instance],
    answers: &[Result<GuestStatus, GuestError>],
    now: Timestamp,
) -> Vec<(InstanceId, Heard)> {
    let mut heard_in: HashMap<ClusterId, Vec<&GuestStatus>> = HashMap::new();
    for (instance, answer) in instances.iter().zip(answers) {
        if let Ok(status) = answer {
            heard_in.entry(instance.cluster).or_default().push(status);
        }
    }
    let failed: HashMap<ClusterId, BTreeSet<NodeId>> =
        heard_in.iter().map(|(cluster, statuses)| (*cluster, held_failed(statuses))).collect();
    let news = instances.iter().zip(answers).filter_map(|(instance, answer)| {
        let held_failed = match (failed.get(&instance.cluster), instance.node_id) {
            (Some(failed), Some(node)) => failed.contains(&node),
            _ => false,
        };
        let heard = hear(&instance.heard, answer, held_failed, now);
        (heard != instance.heard).then_some((instance.id, heard))
    });
    news.collect()
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

fn hear(before: &Heard, answer: &Result<GuestStatus, GuestError>, held_failed: bool, now: Timestamp) -> Heard {
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
        Err(_) => Heard { silent_since: before.silent_since.or(Some(now)), held_failed, ..before.clone() },
    }
}

#[cfg(test)]
mod tests;
