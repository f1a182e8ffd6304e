//! Sweeping: finding the work that no message brought, and the machines that no row wants.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use redtrove_core::InstanceId;
use redtrove_core::TaskId;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::keeper::Chain;
use crate::ports::{Destroyed, Keep, StoreError};
use crate::{Engine, Offered, Options, World};

/// Claims tasks that are due and nobody's, as many as there are free runners, until shutdown.
pub(crate) async fn run(engine: &Engine) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut unusable = HashSet::new();
    while !engine.shutdown.is_cancelled() {
        let pause = match sweep(engine, &mut unusable).await {
            Ok(()) => {
                backoff.reset();
                engine.options.sweep_every
            }
            Err(error) => {
                info!(error = %Chain(&error), "looking for tasks failed: {}", Chain(&error));
                engine.options.sweep_every.max(backoff.next(&*engine.world.clock))
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = engine.shutdown.cancelled() => return,
        }
    }
}

/// One look. A task whose claim fails for good, such as a row that a newer program wrote, must not keep those after it
/// from being found; it joins `unusable`, so that it is complained of once.
async fn sweep(engine: &Engine, unusable: &mut HashSet<TaskId>) -> Result<(), StoreError> {
    engine.turns.fetch_add(1, Ordering::Relaxed);
    let free = engine.runners.available_permits();
    if free == 0 {
        return Ok(());
    }
    let limit = u32::try_from(free.saturating_add(unusable.len())).unwrap_or(u32::MAX);
    for task in engine.world.store.claimable(limit).await? {
        engine.turns.fetch_add(1, Ordering::Relaxed);
        match engine.offer(task).await {
            Ok(Offered::NoRunner) => return Ok(()),
            Ok(Offered::Claimed | Offered::NotClaimable) => {}
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                if unusable.insert(task) {
                    error!(task.id = %task, error = %Chain(&error), "task {task} cannot be claimed: {}", Chain(&error));
                }
            }
        }
    }
    Ok(())
}

/// Removes machines whose rows say that they are deleted, until shutdown. There are some when a runner that had lost
/// its lease without knowing made a machine after the delete that took over had passed.
pub(crate) async fn run_orphans(world: &World, options: &Options, shutdown: &CancellationToken) {
    let sweep = async {
        loop {
            sleep(options.orphans_every).await;
            if let Err(error) = sweep_orphans(world).await {
                info!(error = %Chain(&*error), "looking for machines that no row wants failed: {}", Chain(&*error));
            }
        }
    };
    // A removal that is cut off is done again by whoever looks next.
    shutdown.run_until_cancelled(sweep).await;
}

async fn sweep_orphans(world: &World) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // The provider first: a machine that is made after this is not looked at, so no row can be too young.
    let machines = world.compute.list().await?;
    if machines.is_empty() {
        return Ok(());
    }
    let orphans = world.store.deleted_among(&machines).await?;
    join_all(orphans.into_iter().map(|orphan| destroy(world, orphan))).await;
    Ok(())
}

/// One that cannot be removed now does not keep the others.
async fn destroy(world: &World, orphan: InstanceId) {
    match world.compute.destroy(orphan, Keep::Nothing).await {
        Ok(Destroyed::Gone) => {
            warn!(instance.id = %orphan, "removed the machine of instance {orphan}, which was deleted before");
            world.guests.forget(orphan);
        }
        Ok(Destroyed::Going) => {}
        Err(error) => {
            info!(instance.id = %orphan, %error, "the machine of instance {orphan}, deleted before, stays for now: {error}");
        }
    }
}
