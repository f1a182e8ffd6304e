//! Agents that ended are started again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redtrove_core::InstanceId;
use tokio_util::sync::CancellationToken;

use super::agent::Agents;
use super::process::{self, Does, Process};
use super::{Inner, lock};

/// How often to look.
const PERIOD: Duration = Duration::from_secs(1);
/// The longest pause before an agent that keeps ending is started again. Nobody reaches its member meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An agent that ran this long had started well; somebody ended it, and it is not made to wait for that.
const LIVED: Duration = Duration::from_secs(3);

/// What is known of one agent.
#[derive(Debug, Default)]
struct Watched {
    process: Option<Process>,
    started: Option<Started>,
}

/// The last start of an agent here.
#[derive(Debug, Clone, Copy)]
struct Started {
    at: Instant,
    /// How long after that it is started again at the earliest.
    pause: Duration,
    /// When it was last seen alive. When it ended is not known: whoever looks may have been kept from it.
    alive: Instant,
}

impl Started {
    /// The start after this one, at `now`; none if it is too early.
    fn again(self, now: Instant) -> Option<Self> {
        if self.alive.duration_since(self.at) >= LIVED {
            return Some(Self::first(now));
        }
        let due = now.duration_since(self.at) >= self.pause;
        due.then(|| Self { pause: (2 * self.pause).min(LONGEST_PAUSE), ..Self::first(now) })
    }

    fn first(now: Instant) -> Self {
        Self { at: now, pause: PERIOD, alive: now }
    }
}

/// Until `shutdown`. The first look comes at once: agents may have ended while no taskmanager ran.
pub(super) async fn run(inner: &Arc<Inner>, shutdown: CancellationToken) {
    let mut watched = BTreeMap::new();
    loop {
        let inner = Arc::clone(inner);
        let look = tokio::task::spawn_blocking(move || {
            inner.agents.reap();
            let looked = if inner.config.supervise { pass(&inner, &mut watched) } else { Ok(()) };
            (watched, looked)
        });
        let looked;
        (watched, looked) = match look.await {
            Ok(done) => done,
            // The runtime is ending, or a look panicked: what was watched is found again.
            Err(error) => (BTreeMap::new(), Err(io::Error::other(error))),
        };
        if let Err(error) = looked {
            tracing::warn!(error = %error, "cannot look after the guest agents");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// One look at all agents. Costs one file of /proc an agent as long as all live.
fn pass(inner: &Inner, watched: &mut BTreeMap<InstanceId, Watched>) -> io::Result<()> {
    let placed = inner.layout.placed()?;
    watched.retain(|id, _| placed.contains(id));
    let mut missing = Vec::new();
    for id in placed {
        let known = watched.entry(id).or_default();
        if !known.process.is_some_and(Process::is_alive) {
            known.process = Agents::noted(&inner.layout, id);
        }
        match (&known.process, &mut known.started) {
            (None, _) => missing.push(id),
            (Some(_), Some(started)) => started.alive = Instant::now(),
            (Some(_), None) => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let found = process::scan(&inner.layout, &inner.servers)?;
    for id in missing {
        let agent = found.iter().find(|found| found.instance == id && found.does == Does::Agent);
        let known = watched.entry(id).or_default();
        let done = match agent {
            Some(agent) => Agents::write_note(&inner.layout, id, agent.process),
            None => restart(inner, id, known),
        };
        if let Err(error) = done {
            tracing::warn!(instance.id = %id, error = %error, "cannot start the guest agent of instance {id}");
        }
    }
    Ok(())
}

/// Starts the agent of an instance unless somebody is at the instance, or the last start was a moment ago.
fn restart(inner: &Inner, id: InstanceId, known: &mut Watched) -> io::Result<()> {
    let now = Instant::now();
    let started = known.started.map_or_else(|| Some(Started::first(now)), |last| last.again(now));
    let Some(started) = started else { return Ok(()) };
    let Some(_lock) = lock::try_lock(&inner.layout.lock(id))? else { return Ok(()) };
    if !fs::exists(inner.layout.instance(id))? {
        // Removed since we looked; the lock file is ours alone then.
        return fs::remove_file(inner.layout.lock(id));
    }
    if Agents::noted(&inner.layout, id).is_some() {
        return Ok(());
    }
    known.started = Some(started);
    let again = Agents::was_started(&inner.layout, id);
    let agent = inner.agents.start(&inner.layout, id)?;
    known.process = Some(agent);
    if again {
        tracing::warn!(instance.id = %id, agent.pid = agent.pid, "the guest agent of instance {id} had ended: started it again");
    } else {
        tracing::info!(instance.id = %id, agent.pid = agent.pid, "started the guest agent of instance {id}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_cannot_start_waits_longer_each_time_and_one_that_was_killed_does_not_wait() {
        let begin = Instant::now();
        let mut started = Started::first(begin);
        let mut waited = Vec::new();
        for _ in 0..6 {
            started.alive = started.at + Duration::from_millis(50);
            let due = (0..=200u32).map(|n| started.at + n * PERIOD / 10);
            let next = due.filter_map(|now| started.again(now)).next().expect("it is started again some time");
            waited.push((next.at - started.at).as_secs());
            started = next;
        }
        assert_eq!(waited, [1, 2, 4, 8, 10, 10]);

        let looked_late = started.at + LIVED;
        assert!(started.again(looked_late).is_none(), "nobody saw it live");
        started.alive = started.at + LIVED;
        let now = started.at + LIVED;
        let next = started.again(now).expect("at once");
        assert_eq!((next.at, next.pause), (now, PERIOD));
        assert!(next.again(now).is_none(), "one that was started a moment ago is not started again at once");
    }
}
