//! Sweeping: finding the work that no message brought, and the machines that no row wants.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::keeper::Chain;
use crate::ports::{ComputeError, StoreError};
use crate::{Engine, Options, World};

/// Claims tasks that are due and nobody's, as many as there are free runners, until shutdown.
pub(crate) async fn run(engine: &Engine) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let pause = match sweep(engine).await {
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

async fn sweep(engine: &Engine) -> Result<(), StoreError> {
    let free = u32::try_from(engine.runners.available_permits()).unwrap_or(u32::MAX);
    if free == 0 {
        return Ok(());
    }
    for task in engine.world.store.claimable(free).await? {
        engine.offer(task).await?;
    }
    Ok(())
}

/// Removes machines whose rows say that they are deleted, until shutdown. There are some when a runner that had lost
/// its lease without knowing made a machine after the delete that took over had passed.
pub(crate) async fn run_orphans(world: &World, options: &Options, shutdown: &CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(options.orphans_every) => {}
            () = shutdown.cancelled() => return,
        }
        if let Err(error) = sweep_orphans(world).await {
            info!(error = %Chain(&*error), "looking for machines that no row wants failed: {}", Chain(&*error));
        }
    }
}

async fn sweep_orphans(world: &World) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // The provider first: a machine that is made after this is not looked at, so no row can be too young.
    let machines = world.compute.list().await?;
    if machines.is_empty() {
        return Ok(());
    }
    let orphans = world.store.deleted_among(&machines).await?;
    let destroyed = join_all(orphans.iter().map(|orphan| async move {
        world.compute.destroy(*orphan).await?;
        warn!(instance.id = %orphan, "removed the machine of instance {orphan}, which was deleted before");
        world.guests.forget(*orphan);
        Ok::<_, ComputeError>(())
    }));
    destroyed.await.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(())
}
