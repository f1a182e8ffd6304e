//! Sweeping: finding the work that no message brought.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redtrove_core::TaskId;
use tokio::time::sleep;
use tracing::error;

use crate::backoff::Backoff;
use crate::complaints::Complaints;
use crate::keeper::Chain;
use crate::ports::StoreError;
use crate::{Engine, Offered};

/// A lease that has ended at a time has ended a moment later by every way of rounding; and no loop goes faster than this.
const A_MOMENT: Duration = Duration::from_millis(20);

/// Claims tasks that are due and nobody's, as many as there are free runners, until shutdown.
pub(crate) async fn run(engine: &Engine) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut unusable = HashSet::new();
    let mut complaints = Complaints::default();
    while !engine.shutdown.is_cancelled() {
        let pause = match complaints.hear("looking for tasks", sweep(engine, &mut unusable).await) {
            Some(next) => {
                backoff.reset();
                next
            }
            None => engine.options.sweep_every.max(backoff.next(&*engine.world.clock)),
        };
        tokio::select! {
            biased;
            () = sleep(pause) => {}
            () = engine.shutdown.cancelled() => return,
        }
    }
}

/// One look; how long until the next one. A task whose claim fails for good, such as a row that a newer program wrote, must not keep those after it
/// from being found; it joins `unusable`, so that it is complained of once.
async fn sweep(engine: &Engine, unusable: &mut HashSet<TaskId>) -> Result<Duration, StoreError> {
    engine.turns.fetch_add(1, Ordering::Relaxed);
    let every = engine.options.sweep_every.min(engine.options.lease);
    let free = engine.runners.available_permits();
    if free == 0 {
        return Ok(every);
    }
    let limit = u32::try_from(free.saturating_add(unusable.len())).unwrap_or(u32::MAX);
    for task in engine.world.store.claimable(limit).await? {
        engine.turns.fetch_add(1, Ordering::Relaxed);
        match engine.offer(task).await {
            Ok(Offered::NoRunner) => return Ok(every),
            Ok(Offered::Claimed | Offered::NotClaimable) => {}
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            Err(error) => {
                if unusable.insert(task) {
                    error!(task.id = %task, error = %Chain(&error), "task {task} cannot be claimed: {}", Chain(&error));
                }
            }
        }
    }
    // What is known to come needs no message: the work of a taskmanager that died is taken over when its lease ends.
    let next = engine.world.store.next_claimable().await?.unwrap_or(every);
    Ok(next.saturating_add(A_MOMENT).min(every))
}
