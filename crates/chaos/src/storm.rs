//! A storm: clusters come, grow, shrink and go while everything is killed again and again, and a tenant writes to one that
//! stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use redtrove_testkit::http::{Answer, Client};
use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::stack::Binaries;
use redtrove_testkit::{pause, wait_for};
use rustix::process::Signal;

use crate::bed::{Bed, EVERY_SECOND, SYNCED};
use crate::chance::Chance;
use crate::keys::Writer;
use crate::tenant::{Cluster, Shown};
use crate::{batch, note};

/// Members of every cluster.
const MEMBERS: usize = 3;
/// How long a request may go without an answer by any API.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// An operation's own deadline (60 s), and what it takes to notice while everything dies.
const ENDS_WITHIN: Duration = Duration::from_secs(60 + 60);
/// How long all may take to be whole once the storm is over.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);
/// The pause between two looks at a cluster.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Our programs and the servers, by the names that the kernel knows them by.
const VICTIMS: [&str; 6] =
    ["redtrove-api", "redtrove-taskma", "redtrove-guesta", "redis-server", "beam.smp", "mariadbd"];

/// What a storm is to be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The directory with our three programs.
    pub(crate) binaries: PathBuf,
    /// Where the stack lives.
    pub(crate) dir: PathBuf,
    /// How long it lasts.
    pub(crate) length: Duration,
    /// How many processes are killed in that time.
    pub(crate) kills: usize,
    /// How many clusters come and go at the same time.
    pub(crate) clusters: usize,
    /// The database is restarted (SIGTERM) this often.
    pub(crate) restart_database: Option<Duration>,
    /// Where victims come from.
    pub(crate) seed: u64,
}

/// What happened in a storm.
#[derive(Debug, Default)]
struct Tally {
    /// Processes killed, by program.
    kills: BTreeMap<String, usize>,
    /// Operations that finished, by kind.
    finished: BTreeMap<&'static str, usize>,
    /// Those that failed, each with its fault.
    failed: Vec<(&'static str, String)>,
    /// The longest that one took.
    longest: Duration,
}

struct Storm<'a> {
    bed: &'a Bed,
    over: AtomicBool,
    tally: Mutex<Tally>,
}

/// Lets it storm; an error if a promise was broken.
pub(crate) fn run(wanted: &Wanted) -> Result<()> {
    let dir = wanted.dir.join("storm");
    clear(&wanted.dir)?;
    let bed = Bed::start(&dir, &Binaries::within(&wanted.binaries)?)?;
    let outcome = weather(&bed, wanted);
    let files = dir.with_extension("failed");
    bed.end(outcome.is_err())?;
    outcome.with_context(|| format!("files are in {}", files.display()))
}

fn weather(bed: &Bed, wanted: &Wanted) -> Result<()> {
    let steady = Cluster::create(bed.api(0)?, "steady", SYNCED, MEMBERS)?;
    let (shown, _) = steady.wait_whole(bed.api(0)?, MEMBERS, WHOLE_WITHIN)?;
    let writer = Writer::start(shown.addresses(), "steady-")?;
    let storm = Storm { bed, over: AtomicBool::new(false), tally: Mutex::default() };
    note(&format!("{} kills in {} s", wanted.kills, wanted.length.as_secs()));
    std::thread::scope(|scope| -> Result<()> {
        let actors: Vec<_> = (0..wanted.clusters)
            .map(|n| {
                scope.spawn({
                    let storm = &storm;
                    move || storm.act(n)
                })
            })
            .collect();
        let killed = storm.kill(wanted);
        storm.over.store(true, Ordering::Relaxed);
        for actor in actors {
            actor.join().map_err(|_| anyhow!("an actor broke"))??;
        }
        killed
    })?;
    let tally = storm.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    show(&tally);

    let (shown, _) = steady.wait_whole(bed.api(0)?, MEMBERS, WHOLE_WITHIN).context("the steady cluster")?;
    writer.wait_for_more(100)?;
    let acknowledged = writer.stop()?;
    acknowledged.check(&shown.addresses())?;
    note(&format!("{} acknowledged writes to the steady cluster, all of them read back", acknowledged.count()));
    steady.delete(bed.api(0)?)?.expect_status(202)?;
    steady.wait_gone(bed.api(0)?, WHOLE_WITHIN)?;
    batch::check_nothing_left(bed, wanted.restart_database.is_some())?;
    note("nothing is left");
    let missed = wanted.kills.saturating_sub(tally.kills.values().sum());
    ensure!(missed == 0, "{missed} kills found nobody");
    ensure!(tally.finished.values().sum::<usize>() > 0, "no operation finished");
    Ok(())
}

fn show(tally: &Tally) {
    let list = |counts: Vec<String>| counts.join(", ");
    note(&format!("killed: {}", list(tally.kills.iter().map(|(name, count)| format!("{count} {name}")).collect())));
    note(&format!(
        "finished: {}",
        list(tally.finished.iter().map(|(kind, count)| format!("{count} {kind}")).collect())
    ));
    note(&format!("the longest operation took {:.1} s", tally.longest.as_secs_f64()));
    for (kind, fault) in &tally.failed {
        note(&format!("failed: {kind}: {fault}"));
    }
}

impl Storm<'_> {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills by chance, evenly over the time.
    fn kill(&self, wanted: &Wanted) -> Result<()> {
        let mut chance = Chance::new(wanted.seed);
        let begun = Instant::now();
        let kills = u32::try_from(wanted.kills).context("too many kills")?;
        let mut restarts = 1;
        for n in 1..=kills {
            let due = wanted.length * n / kills;
            while begun.elapsed() < due {
                if wanted.restart_database.is_some_and(|every| begun.elapsed() >= every * restarts) {
                    restarts += 1;
                    self.bed.daemon("mariadb")?.signal(Signal::TERM)?;
                }
                pause(LOOK_EVERY.min(due.saturating_sub(begun.elapsed())));
            }
            self.kill_one(&mut chance)?;
        }
        Ok(())
    }

    /// First the program is chosen, so that the few daemons of the control plane get their share.
    fn kill_one(&self, chance: &mut Chance) -> Result<()> {
        let victim = wait_for("somebody to kill", ANSWERED_WITHIN, || {
            let program = chance.pick(&VICTIMS).context("there are victims")?;
            let running: Vec<_> =
                of_stack(self.bed.layout().dir()).into_iter().filter(|found| found.name == *program).collect();
            Ok(chance.pick(&running).cloned())
        })?;
        victim.process.signal(Signal::KILL)?;
        *self.tally().kills.entry(victim.name).or_default() += 1;
        Ok(())
    }

    /// Makes clusters, grows, shrinks and deletes them, one after the other, until the storm is over.
    fn act(&self, n: usize) -> Result<()> {
        for round in 1.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("actor-{n}-round-{round}");
            self.live(&name).with_context(|| name)?;
        }
        Ok(())
    }

    /// The life of one cluster.
    fn live(&self, name: &str) -> Result<()> {
        let version = if name.len().is_multiple_of(2) { SYNCED } else { EVERY_SECOND };
        let cluster = self.create(name, version)?;
        if self.operate("create", &cluster, |_| Ok(None))?.is_some()
            && let Some(grown) = self.operate("grow", &cluster, |api| cluster.grow(api, 1).map(Some))?
        {
            let leaver = grown.members.last().context("nobody joined")?.id;
            self.operate("shrink", &cluster, |api| cluster.shrink(api, leaver).map(Some))?;
        }
        let begun = Instant::now();
        self.request(|api| match cluster.look(api)? {
            None => Ok(None),
            Some(_) => cluster.delete(api).map(Some),
        })?;
        let gone = wait_for("the cluster to be gone", ENDS_WITHIN, || {
            Ok(self.any(|api| cluster.look(api)).is_ok_and(|shown| shown.is_none()).then_some(()))
        });
        gone.with_context(|| format!("cluster {} after its delete", cluster.id))?;
        self.finish("delete", begun.elapsed());
        Ok(())
    }

    /// Asks for a cluster. An API that dies may have taken the request without an answer: then it is found by its name.
    fn create(&self, name: &str, version: &str) -> Result<Cluster> {
        wait_for("a cluster to be taken", ANSWERED_WITHIN, || {
            for api in [self.bed.api(0)?, self.bed.api(1)?] {
                if let Ok(cluster) = Cluster::create(api, name, version, MEMBERS) {
                    return Ok(Some(cluster));
                }
                if let Ok(Some(cluster)) = self.any(|api| Cluster::find(api, name)) {
                    return Ok(Some(cluster));
                }
            }
            Ok(None)
        })
    }

    /// Asks for an operation and waits for its end: how the cluster is then, none if it failed.
    fn operate(
        &self,
        kind: &'static str,
        cluster: &Cluster,
        ask: impl Fn(&Client) -> Result<Option<Answer>>,
    ) -> Result<Option<Shown>> {
        let begun = Instant::now();
        self.request(ask)?;
        let mut last = String::new();
        let ended = wait_for("the operation to end", ENDS_WITHIN, || {
            pause(LOOK_EVERY);
            let Ok(shown) = self.any(|api| cluster.show(api)) else { return Ok(None) };
            last = format!("{shown:?}");
            Ok((shown.task == "NONE").then_some(shown))
        });
        let shown = ended.with_context(|| format!("{kind} of cluster {}: {last}", cluster.id))?;
        match &shown.fault {
            None => self.finish(kind, begun.elapsed()),
            Some(fault) => self.tally().failed.push((kind, fault.clone())),
        }
        Ok(shown.fault.is_none().then_some(shown))
    }

    fn finish(&self, kind: &'static str, took: Duration) {
        let mut tally = self.tally();
        *tally.finished.entry(kind).or_default() += 1;
        tally.longest = tally.longest.max(took);
    }

    /// Sends a request until some API takes it. One that broke off, or found the database lost, may have been taken: 422 says
    /// so, as nobody else asks.
    fn request(&self, ask: impl Fn(&Client) -> Result<Option<Answer>>) -> Result<()> {
        let mut broke_off = false;
        wait_for("a request to be taken", ANSWERED_WITHIN, || {
            for api in [self.bed.api(0)?, self.bed.api(1)?] {
                match ask(api) {
                    Ok(None) => return Ok(Some(())),
                    Ok(Some(answer)) if answer.status == 202 => return Ok(Some(())),
                    Ok(Some(answer)) if broke_off && matches!(answer.status, 404 | 422) => return Ok(Some(())),
                    // The database was lost on the way: the request may have been taken.
                    Ok(Some(answer)) if answer.status == 503 => broke_off = true,
                    Ok(Some(answer)) => bail!("an API answers {}: {}", answer.status, answer.body),
                    Err(_) => broke_off = true,
                }
            }
            pause(LOOK_EVERY);
            Ok(None)
        })
    }

    /// Asks one API, then the other.
    fn any<T>(&self, ask: impl Fn(&Client) -> Result<T>) -> Result<T> {
        ask(self.bed.api(0)?).or_else(|_| ask(self.bed.api(1)?))
    }
}

/// Removes what earlier storms left in `dir`.
fn clear(dir: &Path) -> Result<()> {
    for name in ["storm", "storm.failed"] {
        let left = dir.join(name);
        if left.exists() {
            std::fs::remove_dir_all(&left).with_context(|| format!("cannot remove {}", left.display()))?;
        }
    }
    Ok(())
}
