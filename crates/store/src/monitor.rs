//! What the monitor writes: its own right to be the only one, and what it heard.

use std::time::Duration;

use redtrove_core::InstanceId;
use redtrove_core::instance::Heard;
use redtrove_engine::ports::StoreError;

use crate::backend::{Backend, SqlStore, printed, values, whole};

const TAKE_RIGHT: &str =
    "UPDATE leases SET owner = ?, expires_at = ?, taken_at = ? WHERE name = ? AND (owner = ? OR expires_at <= ?)";

/// How full its volume is does not make an instance another one: a fault is dated by `updated`. That comes first, as
/// MariaDB's later assignments see the earlier ones.
const SET_HEARD: &str = "UPDATE instances \
    SET updated = CASE WHEN redis = ? AND held_failed = ? THEN updated ELSE ? END, \
    redis = ?, silent_since = ?, held_failed = ?, volume_used_mb = ? \
    WHERE id = ? AND lifecycle <> 'deleted'";

impl<B: Backend> SqlStore<B> {
    /// Takes or renews a right for `length`; false while it is another's.
    pub(crate) async fn take_right(&self, right: &str, owner: &str, length: Duration) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let now = tx.now;
        tx.execute(B::KEEP_LEASE, values![right]).await?;
        let taken = tx.execute(TAKE_RIGHT, values![owner, now.after(length), now, right, owner, now]).await? > 0;
        tx.commit().await?;
        Ok(taken)
    }

    /// See `Store::put_heard`.
    pub(crate) async fn write_heard(&self, heard: &[(InstanceId, Heard)]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (instance, heard) in heard {
            let values = values![
                heard.redis.name(),
                heard.held_failed,
                tx.now,
                heard.redis.name(),
                heard.silent_since,
                heard.held_failed,
                heard.volume_used_mb.map(whole).transpose()?,
                printed(*instance),
            ];
            tx.execute(SET_HEARD, values).await?;
        }
        tx.commit().await
    }
}
