//! Claims and leases: who works on a task, decided by one conditional UPDATE.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redtrove_core::TaskId;
use redtrove_engine::ports::{Claimed, HIGHEST_SEEN, Lease, StoreError};

use crate::backend::{Backend, SqlStore, printed, values, whole};
use crate::debts::lock_cluster;
use crate::rows;
use crate::session::Tx;

/// Tasks that may be claimed at `?` (twice).
macro_rules! may_be_claimed {
    () => {
        "state IN ('pending', 'running') AND not_before <= ? AND (lease_expires_at IS NULL OR lease_expires_at <= ?)"
    };
}

/// The fence of every write of a lease's holder: task and token. That the lease has expired does not matter while
/// nobody else has claimed the task.
macro_rules! fence {
    () => {
        "id = ? AND lease_token = ? AND state = 'running'"
    };
}
pub(crate) use fence;

const CLAIMABLE: &str = concat!("SELECT id FROM tasks WHERE ", may_be_claimed!(), " ORDER BY created, id LIMIT ?");

/// When the first task may be claimed that may not be at `?` (twice).
const NEXT_CLAIMABLE: &str = "SELECT MIN(CASE WHEN lease_expires_at > not_before THEN lease_expires_at ELSE not_before END) \
    AS due FROM tasks WHERE state IN ('pending', 'running') AND (not_before > ? OR lease_expires_at > ?)";

const MAY_CLAIM: &str = concat!("SELECT cluster_id FROM tasks WHERE id = ? AND ", may_be_claimed!());

const NEXT_TOKEN: &str = "UPDATE clusters SET lease_token = lease_token + 1 WHERE id = ?";

/// To more than `?` (twice) and more than it is.
const HIGHER_TOKEN: &str =
    "UPDATE clusters SET lease_token = CASE WHEN lease_token > ? THEN lease_token ELSE ? END + 1 WHERE id = ?";

const TOKEN: &str = "SELECT lease_token FROM clusters WHERE id = ?";

const CLAIM: &str = concat!(
    "UPDATE tasks SET state = 'running', attempt = attempt + 1, lease_owner = ?, lease_token = ?, \
     lease_expires_at = ?, started = COALESCE(started, ?) WHERE id = ? AND ",
    may_be_claimed!()
);

const TASK: &str = "SELECT * FROM tasks WHERE id = ?";

const RENEW: &str = concat!("UPDATE tasks SET lease_expires_at = ? WHERE ", fence!());

const RELEASE: &str =
    concat!("UPDATE tasks SET lease_owner = NULL, lease_expires_at = NULL, not_before = ? WHERE ", fence!());

const EXPIRE: &str = "UPDATE tasks SET lease_expires_at = NULL \
    WHERE lease_owner = ? AND state = 'running' AND lease_expires_at IS NOT NULL";

const CLUSTER_OF: &str = "SELECT cluster_id FROM tasks WHERE id = ?";

/// A claim whose answer was lost, so that nobody began.
const UNCLAIM: &str = "UPDATE tasks SET lease_expires_at = NULL, attempt = attempt - 1 \
    WHERE id = ? AND lease_owner = ? AND lease_token = ? AND state = 'running'";

const HOLDS: &str = concat!("SELECT id FROM tasks WHERE ", fence!());

const RAISE: &str = concat!("UPDATE tasks SET lease_token = ? WHERE ", fence!());

/// The tokens that were written by transactions whose ends are not known.
pub(crate) type Doubt = Mutex<Vec<u64>>;

fn doubted(doubt: &Doubt) -> MutexGuard<'_, Vec<u64>> {
    doubt.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Backend> SqlStore<B> {
    /// See `Store::claimable`.
    pub(crate) async fn read_claimable(&self, limit: u32) -> Result<Vec<TaskId>, StoreError> {
        let now = self.clock().await?;
        let rows = self.rows(CLAIMABLE, values![now, now, limit]).await?;
        rows.iter().map(|row| rows::parsed(row, "id")).collect()
    }

    /// See `Store::next_claimable`.
    pub(crate) async fn read_next_claimable(&self) -> Result<Option<Duration>, StoreError> {
        let now = self.clock().await?;
        let row = rows::present(self.row(NEXT_CLAIMABLE, values![now, now]).await?, "next claimable task")?;
        Ok(rows::time_or_null(&row, "due")?.map(|due| due.since(now)))
    }

    /// See `Store::claim`. With tokens in doubt, what one of them claimed is given back first: whoever runs the task with
    /// it, if anybody does, finds the lease lost.
    pub(crate) async fn take_lease(
        &self,
        task: TaskId,
        owner: &str,
        length: Duration,
        doubt: &Doubt,
    ) -> Result<Option<Claimed>, StoreError> {
        let mut tx = self.begin().await?;
        let (now, doubtful) = (tx.now, doubted(doubt).clone());
        if !doubtful.is_empty()
            && let Some(row) = tx.one(CLUSTER_OF, values![printed(task)]).await?
        {
            lock_cluster(&mut tx, rows::parsed(&row, "cluster_id")?).await?;
            for token in doubtful {
                tx.execute(UNCLAIM, values![printed(task), owner, whole(token)?]).await?;
            }
        }
        // A look first, so that the many who come too late write nothing. It decides nothing.
        let Some(row) = tx.one(MAY_CLAIM, values![printed(task), now, now]).await? else { return Ok(None) };
        let cluster = rows::parsed(&row, "cluster_id")?;
        tx.execute(NEXT_TOKEN, values![printed(cluster)]).await?;
        let token = read_token(&mut tx, cluster).await?;
        let expires = now.after(length);
        let claim = values![owner, whole(token)?, expires, now, printed(task), now, now];
        if tx.execute(CLAIM, claim).await? == 0 {
            return Ok(None);
        }
        let row = rows::present(tx.one(TASK, values![printed(task)]).await?, "task")?;
        let claimed = rows::task(&row)?;
        doubted(doubt).push(token);
        tx.commit().await?;
        Ok(Some(Claimed {
            lease: Lease { task, cluster, token },
            begun_ago: claimed.started.map(|begun| now.since(begun)).unwrap_or_default(),
            time_left: claimed.deadline.since(now),
            task: claimed,
        }))
    }

    /// See `Store::renew`.
    pub(crate) async fn extend_lease(&self, lease: &Lease, length: Duration) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let expires = tx.now.after(length);
        held(tx.execute(RENEW, values![expires, printed(lease.task), whole(lease.token)?]).await?)?;
        tx.commit().await
    }

    /// See `Store::release`.
    pub(crate) async fn give_back(&self, lease: &Lease, pause: Duration) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let due = tx.now.after(pause);
        held(tx.execute(RELEASE, values![due, printed(lease.task), whole(lease.token)?]).await?)?;
        tx.commit().await
    }

    /// See `Store::expire_leases_of`.
    pub(crate) async fn expire_leases(&self, owner: &str) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let expired = tx.execute(EXPIRE, values![owner]).await?;
        tx.commit().await?;
        Ok(expired)
    }

    /// See `Store::raise_token`.
    pub(crate) async fn outgrow(&self, lease: &Lease, seen: u64, doubt: &Doubt) -> Result<Lease, StoreError> {
        if seen > HIGHEST_SEEN {
            return Err(StoreError::Broken(format!("a guest says that it has seen generation {seen}").into()));
        }
        let seen = whole(seen)?;
        let mut tx = self.begin().await?;
        let doubtful = doubted(doubt).clone();
        for token in doubtful {
            if tx.one(HOLDS, values![printed(lease.task), whole(token)?]).await?.is_some() {
                return Ok(Lease { token, ..lease.clone() });
            }
        }
        tx.execute(HIGHER_TOKEN, values![seen, seen, printed(lease.cluster)]).await?;
        let token = read_token(&mut tx, lease.cluster).await?;
        held(tx.execute(RAISE, values![whole(token)?, printed(lease.task), whole(lease.token)?]).await?)?;
        doubted(doubt).push(token);
        tx.commit().await?;
        Ok(Lease { token, ..lease.clone() })
    }
}

async fn read_token<B: Backend>(tx: &mut Tx<B>, cluster: redtrove_core::ClusterId) -> Result<u64, StoreError> {
    let row = rows::present(tx.one(TOKEN, values![printed(cluster)]).await?, "cluster")?;
    rows::number(&row, "lease_token")
}

/// An error unless the fenced write matched its row.
pub(crate) fn held(matched: u64) -> Result<(), StoreError> {
    if matched == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
}
