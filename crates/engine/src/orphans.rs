//! Orphans: what the provider holds for us and no row wants. Each is listed from the first look, and removed when its
//! time is over.
//!
//! There are two kinds. The machine of an instance whose row says deleted is rubbish: a runner that had lost its lease
//! without knowing made it after the delete that took over had passed. A machine that no row knows may be the same,
//! or a tenant's data that a database restored from a backup has forgotten: it has a much longer time.

use std::collections::BTreeSet;
use std::error::Error;

use futures_util::future::join_all;
use redtrove_core::InstanceId;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::keeper::Chain;
use crate::ports::{ComputeError, Destroyed, Keep, Orphan};
use crate::{Options, Seen, World};

/// Looks until shutdown.
pub(crate) async fn run(world: &World, options: &Options, seen: &Seen, shutdown: &CancellationToken) {
    let sweep = async {
        loop {
            sleep(options.orphans_every).await;
            if let Err(error) = sweep(world, options, seen).await {
                info!(error = %Chain(&*error), "looking for machines that no row wants failed: {}", Chain(&*error));
            }
        }
    };
    // A removal that is cut off is done again by whoever looks next.
    shutdown.run_until_cancelled(sweep).await;
}

async fn sweep(world: &World, options: &Options, seen: &Seen) -> Result<(), Box<dyn Error + Send + Sync>> {
    // The provider first: a machine is made after its row was committed, so the row of one that is listed here is
    // there to be seen, however young it is.
    let machines = world.compute.list().await?;
    let deleted = world.store.deleted_among(&machines).await?;
    let unknown = world.store.unknown_among(&machines).await?;
    let before: BTreeSet<InstanceId> = world.store.orphans().await?.into_iter().map(|orphan| orphan.instance).collect();
    let present: BTreeSet<InstanceId> = deleted.union(&unknown).copied().collect();
    seen.put_orphans(present.len());
    if present.is_empty() && before.is_empty() {
        return Ok(());
    }
    world.store.put_orphans(&present).await?;
    for new in unknown.difference(&before) {
        warn!(instance.id = %new, "there is a machine of an instance {new} that no row knows");
    }
    let now = world.store.now().await?;
    let orphans = world.store.orphans().await?;
    let due = orphans.into_iter().filter(|orphan| {
        let age = now.since(orphan.first_seen);
        let over = |grace| age >= grace;
        let deleted = deleted.contains(&orphan.instance) && over(options.deleted_machine_grace);
        deleted || (unknown.contains(&orphan.instance) && options.unknown_machine_grace.is_some_and(over))
    });
    // One that cannot be removed now does not keep the others.
    join_all(due.map(async |Orphan { instance, .. }| {
        if let Err(error) = remove(world, instance).await {
            info!(instance.id = %instance, %error, "the machine of instance {instance}, which no row wants, stays for now: {error}");
        }
    }))
    .await;
    Ok(())
}

/// Removes the machine of an instance that no row wants; false if that takes longer.
pub(crate) async fn remove(world: &World, orphan: InstanceId) -> Result<bool, ComputeError> {
    let gone = world.compute.destroy(orphan, Keep::Nothing).await? == Destroyed::Gone;
    if gone {
        warn!(instance.id = %orphan, "removed the machine of instance {orphan}, which no row wants");
        world.guests.forget(orphan);
    }
    Ok(gone)
}
