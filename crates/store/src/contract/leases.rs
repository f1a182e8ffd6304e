//! Claims and leases.

use std::time::Duration;

use redtrove_core::TaskId;
use redtrove_engine::ports::{NewCluster, NewTask, Record, StoreError};
use redtrove_engine::task::TaskState;
use tokio::task::JoinSet;

use super::{Bed, LONG, success};

pub(super) async fn racing_claims_are_won_once(bed: Bed) {
    let new = bed.created(1).await;
    let mut race = JoinSet::new();
    for runner in 0..20 {
        let (store, task) = (if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() }, new.task.id);
        race.spawn(async move { store.claim(task, &format!("tm-{runner}"), LONG).await.unwrap() });
    }
    let won: Vec<_> = race.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let claimed = &won[0];
    assert_eq!((claimed.lease.task, claimed.lease.cluster), (new.task.id, new.id));
    assert!(claimed.lease.token >= 1);
    assert_eq!((claimed.task.state, claimed.task.attempt), (TaskState::Running, 1));
    assert_eq!(bed.store.task(new.task.id).await.unwrap().as_ref(), Some(&claimed.task));
    assert!(claimed.task.lease_owner.is_some() && claimed.task.started.is_some());
    assert_eq!(claimed.begun_ago, Duration::ZERO, "this is the first claim");
    assert!(claimed.time_left <= LONG && claimed.time_left > Duration::ZERO);
    bed.store.renew(&claimed.lease, LONG).await.unwrap();
}

pub(super) async fn a_valid_lease_keeps_others_out(bed: Bed) {
    let new = bed.created(1).await;
    assert_eq!(bed.store.claimable(10).await.unwrap(), [new.task.id]);
    let lease = bed.store.claim(new.task.id, "tm-1", Duration::ZERO).await.unwrap().unwrap().lease;
    bed.store.renew(&lease, LONG).await.unwrap();
    assert!(bed.second.claim(new.task.id, "tm-2", LONG).await.unwrap().is_none());
    assert!(bed.store.claim(new.task.id, "tm-1", LONG).await.unwrap().is_none(), "not even its own holder");
    assert!(bed.store.claimable(10).await.unwrap().is_empty());
    assert!(bed.store.claim(TaskId(bed.ordered()), "tm-1", LONG).await.unwrap().is_none());
}

pub(super) async fn an_expired_lease_goes_to_the_next(bed: Bed) {
    let new = bed.created(1).await;
    let first = bed.store.claim(new.task.id, "tm-1", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(bed.second.claimable(10).await.unwrap(), [new.task.id]);
    let second = bed.second.claim(new.task.id, "tm-2", LONG).await.unwrap().unwrap();
    assert!(second.lease.token > first.lease.token);
    assert_eq!((second.task.attempt, second.task.started), (2, first.task.started));
    assert_eq!(second.task.lease_owner.as_deref(), Some("tm-2"));

    assert!(matches!(bed.store.renew(&first.lease, LONG).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.record(&first.lease, &Record::default()).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.release(&first.lease, Duration::ZERO).await, Err(StoreError::LeaseLost)));
    assert!(matches!(bed.store.finish(&first.lease, &success()).await, Err(StoreError::LeaseLost)));
    bed.store.record(&second.lease, &Record::default()).await.unwrap();
}

pub(super) async fn an_expired_lease_is_good_until_somebody_claims(bed: Bed) {
    let new = bed.created(1).await;
    let lease = bed.store.claim(new.task.id, "tm-1", Duration::ZERO).await.unwrap().unwrap().lease;
    bed.store.record(&lease, &Record::default()).await.unwrap();
    bed.store.finish(&lease, &success()).await.unwrap();
    assert!(matches!(bed.store.renew(&lease, LONG).await, Err(StoreError::LeaseLost)), "it has ended");
}

pub(super) async fn a_task_given_back_is_due_after_its_pause(bed: Bed) {
    let new = bed.created(1).await;
    let lease = bed.claimed(new.task.id).await.lease;
    bed.store.release(&lease, Duration::ZERO).await.unwrap();
    let task = bed.store.task(new.task.id).await.unwrap().unwrap();
    assert_eq!((task.state, task.lease_owner), (TaskState::Running, None));
    assert_eq!(bed.store.claimable(10).await.unwrap(), [new.task.id]);
    let again = bed.claimed(new.task.id).await;
    assert_eq!(again.task.attempt, 2);
    bed.store.release(&again.lease, LONG).await.unwrap();
    assert!(bed.store.claimable(10).await.unwrap().is_empty());
    assert!(bed.store.claim(new.task.id, "tm-2", LONG).await.unwrap().is_none());
}

pub(super) async fn the_leases_of_an_owner_expire_together(bed: Bed) {
    let (mine, other) = (bed.created(1).await.task.id, bed.created(1).await.task.id);
    bed.store.claim(mine, "tm-1", LONG).await.unwrap().unwrap();
    bed.store.claim(other, "tm-2", LONG).await.unwrap().unwrap();
    assert_eq!(bed.store.expire_leases_of("tm-1").await.unwrap(), 1);
    assert_eq!(bed.store.claimable(10).await.unwrap(), [mine]);
    assert_eq!(bed.store.expire_leases_of("tm-1").await.unwrap(), 0, "it has expired");
    assert_eq!(bed.store.expire_leases_of("nobody").await.unwrap(), 0);
    assert!(bed.store.claim(mine, "tm-1", LONG).await.unwrap().is_some());
}

pub(super) async fn a_token_rises_past_what_was_seen(bed: Bed) {
    let new = bed.created(1).await;
    let old = bed.claimed(new.task.id).await.lease;
    let raised = bed.store.raise_token(&old, 41).await.unwrap();
    assert!(raised.token > 41);
    assert_eq!((raised.task, raised.cluster), (old.task, old.cluster));
    assert!(matches!(bed.store.renew(&old, LONG).await, Err(StoreError::LeaseLost)));
    let again = bed.store.raise_token(&raised, 3).await.unwrap();
    assert!(again.token >= raised.token, "a token never falls");
    bed.store.renew(&again, Duration::ZERO).await.unwrap();
    let next = bed.second.claim(new.task.id, "tm-2", LONG).await.unwrap().unwrap();
    assert!(next.lease.token > again.token, "the cluster keeps the highest");
    assert!(matches!(bed.store.raise_token(&again, 900).await, Err(StoreError::LeaseLost)));
    for seen in [u64::MAX, i64::MAX as u64, i64::MAX as u64 - 1] {
        assert!(bed.store.raise_token(&next.lease, seen).await.is_err(), "{seen} leaves too few numbers");
    }
    bed.store.renew(&next.lease, Duration::ZERO).await.unwrap();
    assert!(bed.claimed(new.task.id).await.lease.token > next.lease.token);
}

pub(super) async fn tokens_grow_over_the_tasks_of_a_cluster(bed: Bed) {
    let new = bed.created(1).await;
    let build = bed.claimed(new.task.id).await.lease;
    let build = bed.store.raise_token(&build, 500).await.unwrap();
    bed.store.finish(&build, &success()).await.unwrap();
    assert!(bed.deleting(new.id).await.lease.token > build.token);
}

pub(super) async fn claimable_tasks_come_oldest_first(bed: Bed) {
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(bed.created(1).await.task.id);
    }
    assert_eq!(bed.store.claimable(10).await.unwrap(), tasks);
    assert_eq!(bed.store.claimable(2).await.unwrap(), tasks[..2]);
    let lease = bed.claimed(tasks[1]).await.lease;
    assert_eq!(bed.store.claimable(10).await.unwrap(), [tasks[0], tasks[2], tasks[3]]);
    bed.store.finish(&lease, &success()).await.unwrap();
    assert_eq!(bed.store.claimable(10).await.unwrap(), [tasks[0], tasks[2], tasks[3]]);
    let newest: Vec<_> = bed.store.tasks(None, 3).await.unwrap().into_iter().map(|task| task.id).collect();
    assert_eq!(newest, [tasks[3], tasks[2], tasks[1]]);
}

pub(super) async fn the_next_that_may_be_claimed_is_known_before(bed: Bed) {
    assert_eq!(bed.store.next_claimable().await.unwrap(), None);
    let (first, second) = (bed.created(1).await.task.id, bed.created(1).await.task.id);
    assert_eq!(bed.store.next_claimable().await.unwrap(), None, "both may be claimed now");
    bed.store.claim(first, "tm-1", 2 * LONG).await.unwrap().unwrap();
    let lease = bed.store.claim(second, "tm-1", LONG).await.unwrap().unwrap().lease;
    let within = |length: Duration| length > LONG / 2 && length <= LONG;
    assert!(bed.store.next_claimable().await.unwrap().is_some_and(within), "the end of the shorter lease");
    bed.store.release(&lease, LONG).await.unwrap();
    assert!(bed.store.next_claimable().await.unwrap().is_some_and(within), "the end of the pause");
    bed.store.expire_leases_of("tm-1").await.unwrap();
    assert!(bed.store.next_claimable().await.unwrap().is_some_and(within), "what may be claimed now does not count");
}

pub(super) async fn a_task_past_its_deadline_is_claimable(bed: Bed) {
    let new = bed.new_cluster("late", 1);
    let task = NewTask { time_limit: Duration::ZERO, ..new.task.clone() };
    bed.store.create_cluster(&NewCluster { task, ..new.clone() }).await.unwrap();
    assert_eq!(bed.store.claimable(10).await.unwrap(), [new.task.id]);
    assert_eq!(bed.claimed(new.task.id).await.time_left, Duration::ZERO);
}
