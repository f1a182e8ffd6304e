//! Removing an instance's machine: the directory out of the way, the processes ended, then all else.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::InstanceId;
use redtrove_engine::ports::{ComputeError, Destroyed, Keep};
use tokio::task::spawn_blocking;

use super::process::{self, Does, Found, Process};
use super::{Inner, transient};

/// How long a process may take to end by itself. Its data is about to be removed, so nothing needs saving.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often to look for processes: an agent may have started a server while it was being ended.
const ROUNDS: usize = 5;

/// Removes what there is of the instance, in an order in which each step can be the last one before a crash: once
/// its directory is retired nobody starts anything there, and its address is free only when nothing listens on it.
pub(super) async fn run(inner: &Arc<Inner>, id: InstanceId, keep: Keep) -> Result<Destroyed, ComputeError> {
    let retiring = Arc::clone(inner);
    let existed = blocking(move || retire(&retiring, id)).await?;
    if !end_processes(inner, id).await? {
        tracing::warn!(instance.id = %id, "instance {id} has processes that do not end; its removal goes on later");
        return Ok(Destroyed::Going);
    }
    let removing = Arc::clone(inner);
    blocking(move || remove(&removing, id, keep)).await?;
    if existed {
        tracing::info!(instance.id = %id, "removed instance {id}");
    }
    Ok(Destroyed::Gone)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, ComputeError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| transient("cannot remove the instance", error))
}

/// Moves the instance's directory away; whether there was one.
fn retire(inner: &Inner, id: InstanceId) -> io::Result<bool> {
    inner.layout.retire(id, &inner.layout.new_instance(id))?;
    inner.layout.retire(id, &inner.layout.instance(id))
}

/// Ends the agent first, which would start its server again, then the rest. False if one does not end.
async fn end_processes(inner: &Arc<Inner>, id: InstanceId) -> Result<bool, ComputeError> {
    for _ in 0..ROUNDS {
        let looking = Arc::clone(inner);
        let found = blocking(move || process::scan(&looking.layout, &looking.servers)).await?;
        let of = |does: Does| -> Vec<Process> {
            let ours = |found: &&Found| found.instance == id && found.does == does;
            found.iter().filter(ours).map(|found| found.process).collect()
        };
        let (agents, others) = (of(Does::Agent), of(Does::Work));
        if agents.is_empty() && others.is_empty() {
            return Ok(true);
        }
        for processes in [agents, others] {
            let ended = process::end(&processes, PATIENCE).await;
            if !ended.map_err(|error| transient("cannot end a process", error))? {
                return Ok(false);
            }
        }
        inner.agents.reap();
    }
    Ok(false)
}

/// Removes the retired directories, frees the addresses unless they are kept, and forgets the lock last: while it is
/// there the instance is listed.
fn remove(inner: &Inner, id: InstanceId, keep: Keep) -> io::Result<()> {
    for directory in inner.layout.retired(id)? {
        ignore_missing(fs::remove_dir_all(directory))?;
    }
    if keep == Keep::Nothing {
        inner.claims.release(id)?;
    }
    ignore_missing(fs::remove_file(inner.layout.lock(id)))
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
