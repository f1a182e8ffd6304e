//! Sixteen workers who submit, claim, record, give back and finish on a few clusters, all at the same time: whatever
//! they get in each other's way, the books are right at every moment and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redtrove_core::instance::Lifecycle;
use redtrove_core::{ClusterId, InstanceId, ProjectId, TaskId};
use redtrove_engine::ports::{Change, Claimed, Ending, Growth, Limits, NewCluster, Resource, StoreError, SubmitError};
use redtrove_engine::task::{Task, TaskKind, TaskState};
use tokio::task::JoinSet;

use super::{Bed, LONG, changed, failure, node_id, success};

const WORKERS: u32 = 16;
/// What each worker does.
const TURNS: u32 = 30;
/// As many instances as the project may have: often too few.
const LIMITS: Limits = Limits { instances: 24, volumes_gb: -1 };
/// Tasks that are looked at: more than the workers submit.
const ALL: u32 = 10_000;

pub(super) async fn sixteen_workers_at_once_keep_the_books(bed: Bed) {
    hammer(bed, false).await;
}

/// The same while the database may be lost at any moment: then an answer may also be that it does not answer.
pub async fn under_fire(bed: Bed) {
    hammer(bed, true).await;
}

/// A project whose clusters are in nobody's way.
fn another() -> ProjectId {
    "project-b".parse().unwrap()
}

/// Asks for clusters until the database has no room for more; those that were taken, and its words. For a database whose
/// disk is full.
pub async fn until_refused(bed: &Bed) -> (Vec<ClusterId>, StoreError) {
    let mut taken = Vec::new();
    loop {
        let new = NewCluster { project: another(), ..bed.new_cluster("large", 200) };
        match bed.store.create_cluster(&new).await {
            Ok(()) => taken.push(new.id),
            Err(SubmitError::Store(error @ StoreError::Unavailable(_))) => return (taken, error),
            Err(error) => assert!(matches!(error, SubmitError::Store(StoreError::Unavailable(_))), "{error:?}"),
        }
        assert!(taken.len() < 1_000, "there is room for all of it");
    }
}

/// Fails unless the database can be read, and holds these clusters, whole, and no others.
pub async fn assert_taken(bed: &Bed, taken: &[ClusterId]) {
    let clusters = bed.second.clusters(&another(), None, ALL).await.unwrap();
    let found: BTreeSet<ClusterId> = clusters.iter().map(|(cluster, _)| cluster.id).collect();
    assert_eq!(found, taken.iter().copied().collect());
    assert!(clusters.iter().all(|(_, instances)| instances.len() == 200));
    assert_eq!(bed.second.tasks(None, ALL).await.unwrap().len(), taken.len());
    let usages = bed.second.usages(&another()).await.unwrap();
    assert_eq!(usages[0].in_use, i64::try_from(200 * taken.len()).unwrap());
}

/// What the workers share.
struct Books {
    under_fire: bool,
    clusters: Mutex<Vec<ClusterId>>,
    /// The highest token of each cluster that anybody was given.
    tokens: Mutex<BTreeMap<ClusterId, u64>>,
    finished: Mutex<BTreeSet<TaskId>>,
}

/// Numbers in no order, the same ones in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from((self.0 >> 33) % (end.max(1) as u64)).unwrap()
    }
}

async fn hammer(bed: Bed, under_fire: bool) {
    let books = Arc::new(Books {
        under_fire,
        clusters: Mutex::default(),
        tokens: Mutex::default(),
        finished: Mutex::default(),
    });
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let store = if number % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        let (bed, books) = (Bed { store, ..bed.clone() }, Arc::clone(&books));
        workers.spawn(async move {
            let mut dice = Dice(u64::from(number));
            for _ in 0..TURNS {
                let worked = turn(&bed, &books, &format!("tm-{number}"), &mut dice).await;
                books.allow(worked);
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
        books.allow(one_task_a_cluster(&bed).await);
    }
    while !settled(&bed, &books).await {}
    assert_books(&bed, &books).await;
}

impl Books {
    fn any_cluster(&self, dice: &mut Dice) -> Option<ClusterId> {
        let clusters = self.clusters.lock().unwrap();
        clusters.get(dice.below(clusters.len())).copied()
    }

    /// Fails on an answer that nobody may get.
    fn allow<T>(&self, answer: Result<T, StoreError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                let lost = matches!(error, StoreError::LeaseLost);
                assert!(lost || self.under_fire && matches!(error, StoreError::Unavailable(_)), "{error:?}");
                None
            }
        }
    }

    /// The answer to a submission: whether it was taken. A refusal is as good.
    fn taken<T>(&self, answer: Result<T, SubmitError>) -> bool {
        match answer {
            Ok(_) => true,
            Err(SubmitError::Store(error)) => self.allow::<()>(Err(error)).is_some(),
            Err(_) => false,
        }
    }
}

async fn turn(bed: &Bed, books: &Books, owner: &str, dice: &mut Dice) -> Result<(), StoreError> {
    match dice.below(12) {
        0 | 1 => {
            let new = NewCluster { limits: LIMITS, ..bed.new_cluster("hammered", 1 + dice.below(3) as u32) };
            if books.taken(bed.store.create_cluster(&new).await) {
                books.clusters.lock().unwrap().push(new.id);
            }
        }
        2 | 3 => {
            let Some(cluster) = books.any_cluster(dice) else { return Ok(()) };
            let growth = Growth { limits: LIMITS, ..bed.growth(cluster, 1) };
            books.taken(bed.store.grow_cluster(&growth).await);
        }
        4 => {
            let Some(cluster) = books.any_cluster(dice) else { return Ok(()) };
            let Some((_, members)) = bed.store.cluster(cluster).await? else { return Ok(()) };
            let leavers: Vec<_> = members.last().map(|member| member.id).into_iter().collect();
            books.taken(bed.store.shrink_cluster(&bed.project(), cluster, &bed.new_shrink(&leavers), None).await);
        }
        5 => {
            let Some(cluster) = books.any_cluster(dice) else { return Ok(()) };
            let task = bed.new_task(TaskKind::DeleteCluster);
            books.taken(bed.store.delete_cluster(&bed.project(), cluster, &task).await);
        }
        6 => pay(bed).await?,
        _ => {
            let tasks = bed.store.claimable(8).await?;
            let Some(task) = tasks.get(dice.below(tasks.len())) else { return Ok(()) };
            if let Some(claimed) = claim(bed, books, *task, owner, dice).await? {
                work(bed, books, &claimed, dice).await?;
            }
        }
    }
    Ok(())
}

/// Claims a task, often for no time at all, so that others take it over: each with a token that is higher than all that
/// were given before.
async fn claim(
    bed: &Bed,
    books: &Books,
    task: TaskId,
    owner: &str,
    dice: &mut Dice,
) -> Result<Option<Claimed>, StoreError> {
    let length = if dice.below(3) == 0 { LONG } else { Duration::ZERO };
    let before = books.tokens.lock().unwrap().clone();
    let Some(claimed) = bed.store.claim(task, owner, length).await? else { return Ok(None) };
    let (cluster, token) = (claimed.lease.cluster, claimed.lease.token);
    assert!(before.get(&cluster).is_none_or(|before| token > *before), "{token} of {cluster} is not new: {before:?}");
    let mut tokens = books.tokens.lock().unwrap();
    let highest = tokens.entry(cluster).or_default();
    *highest = token.max(*highest);
    drop(tokens);
    Ok(Some(claimed))
}

/// Works on a task, to its end or not.
async fn work(bed: &Bed, books: &Books, claimed: &Claimed, dice: &mut Dice) -> Result<(), StoreError> {
    let lease = &claimed.lease;
    let Some((_, members)) = bed.store.cluster(lease.cluster).await? else { return Ok(()) };
    let members: Vec<InstanceId> = members.iter().map(|member| member.id).collect();
    bed.store.renew(lease, if dice.below(2) == 0 { LONG } else { Duration::ZERO }).await?;
    bed.store.record(lease, &changed(&changes(bed, &claimed.task, &members))).await?;
    match dice.below(6) {
        // It is left as it is: somebody else goes on, at once or when the lease is let run out.
        0 => Ok(()),
        1 => bed.store.release(lease, Duration::ZERO).await,
        2 => finish(bed, books, claimed, failure("it was not to be")).await,
        _ => finish(bed, books, claimed, ending(&claimed.task, &members)).await,
    }
}

/// What comes of a task's only step.
fn changes(bed: &Bed, task: &Task, members: &[InstanceId]) -> Vec<Change> {
    let node = |instance: &InstanceId| Change::Node { instance: *instance, node: node_id(bed.number()) };
    match task.kind {
        TaskKind::CreateCluster => members.iter().map(node).collect(),
        TaskKind::GrowCluster => task.members.iter().map(node).collect(),
        TaskKind::ShrinkCluster => {
            let leave =
                |instance: &InstanceId| [Change::Left { instance: *instance }, Change::Gone { instance: *instance }];
            [Change::Accepted].into_iter().chain(task.members.iter().flat_map(leave)).collect()
        }
        TaskKind::DeleteCluster => members.iter().map(|instance| Change::Gone { instance: *instance }).collect(),
    }
}

fn ending(task: &Task, members: &[InstanceId]) -> Ending {
    let complete = |members: &[InstanceId]| members.iter().map(|id| (*id, Lifecycle::Complete)).collect();
    match task.kind {
        TaskKind::CreateCluster => Ending { lifecycles: complete(members), ..success() },
        TaskKind::GrowCluster => Ending { lifecycles: complete(&task.members), ..success() },
        TaskKind::ShrinkCluster => success(),
        TaskKind::DeleteCluster => Ending { cluster_deleted: true, ..success() },
    }
}

/// Ends a task, which nobody has ended before.
async fn finish(bed: &Bed, books: &Books, claimed: &Claimed, ending: Ending) -> Result<(), StoreError> {
    bed.store.finish(&claimed.lease, &ending).await?;
    assert!(books.finished.lock().unwrap().insert(claimed.lease.task), "{} ended twice", claimed.lease.task);
    Ok(())
}

/// Pays what is owed for a removed node, or drops one that is paid for.
async fn pay(bed: &Bed) -> Result<(), StoreError> {
    let removed = bed.store.removed_nodes(None).await?;
    let Some(removed) = removed.first() else { return Ok(()) };
    if removed.paid.is_some() {
        return bed.store.drop_removed_node(removed.node, removed.paid).await.map(|_| ());
    }
    let paid: Vec<_> = removed.debtors.iter().map(|debtor| (removed.node, *debtor)).collect();
    bed.store.pay_debts(&paid).await
}

async fn one_task_a_cluster(bed: &Bed) -> Result<(), StoreError> {
    let mut open: BTreeMap<ClusterId, Vec<TaskId>> = BTreeMap::new();
    for task in bed.second.tasks(None, ALL).await?.into_iter().filter(|task| !task.state.is_end()) {
        open.entry(task.cluster).or_default().push(task.id);
    }
    assert!(open.values().all(|tasks| tasks.len() == 1), "{open:?}");
    Ok(())
}

/// Ends one task that is left; true if there is none.
async fn settled(bed: &Bed, books: &Books) -> bool {
    for number in 0..WORKERS {
        books.allow(bed.store.expire_leases_of(&format!("tm-{number}")).await);
    }
    let Some(tasks) = books.allow(bed.store.claimable(ALL).await) else { return false };
    for task in &tasks {
        let Some(Some(claimed)) = books.allow(bed.store.claim(*task, "tm-0", LONG).await) else { continue };
        let Some(Some((_, members))) = books.allow(bed.store.cluster(claimed.task.cluster).await) else { continue };
        let members: Vec<InstanceId> = members.iter().map(|member| member.id).collect();
        books.allow(bed.store.record(&claimed.lease, &changed(&changes(bed, &claimed.task, &members))).await);
        books.allow(finish(bed, books, &claimed, ending(&claimed.task, &members)).await);
    }
    tasks.is_empty()
}

/// Asks until there is an answer.
macro_rules! surely {
    ($books:expr, $question:expr) => {
        loop {
            if let Some(answer) = $books.allow($question.await) {
                break answer;
            }
        }
    };
}

/// What is left is at rest, and the quota counts what is there.
async fn assert_books(bed: &Bed, books: &Books) {
    let tasks = surely!(books, bed.store.tasks(None, ALL));
    assert!(tasks.iter().all(|task| task.state.is_end()), "every task has ended");
    let finished = books.finished.lock().unwrap().clone();
    let succeeded = tasks.iter().filter(|task| task.state == TaskState::Succeeded);
    // Under fire an end may be written and nobody told.
    assert!(books.under_fire || succeeded.map(|task| task.id).all(|task| finished.contains(&task)));
    // Most workers come to something; how many tasks there are is up to who comes first.
    assert!(finished.len() >= 20, "only {} tasks were brought to their ends", finished.len());

    let clusters = surely!(books, bed.second.clusters(&bed.project(), None, ALL));
    for (cluster, _) in &clusters {
        assert_eq!((cluster.task.name(), cluster.operation), ("NONE", None), "{cluster:?}");
    }
    let there: Vec<_> = clusters.iter().flat_map(|(_, instances)| instances).collect();
    let volumes: u64 = there.iter().map(|instance| instance.volume_gb).sum();
    let wanted = [(Resource::Instances, there.len() as u64), (Resource::Volumes, volumes)];
    let usages = surely!(books, bed.store.usages(&bed.project()));
    let counted: Vec<_> = usages.iter().map(|usage| (usage.resource, u64::try_from(usage.in_use).unwrap())).collect();
    assert_eq!(counted, wanted, "the quota and the rows");
    assert!(there.len() as u64 <= u64::try_from(LIMITS.instances).unwrap());

    while let Some(removed) = surely!(books, bed.store.removed_nodes(None)).first() {
        let known = |id: &InstanceId| there.iter().any(|instance| instance.id == *id);
        assert!(removed.cluster_deleted || removed.debtors.iter().all(known), "{removed:?}: somebody gone owes");
        books.allow(pay(bed).await);
        if removed.cluster_deleted {
            books.allow(bed.store.drop_removed_node(removed.node, removed.paid).await);
        }
    }
}
