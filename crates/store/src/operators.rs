//! What operators read: clusters of every project, deleted ones too.

use redtrove_core::ClusterId;
use redtrove_engine::ports::{OperatorCluster, StoreError};

use crate::backend::{Backend, SqlStore, printed, values};
use crate::reading::{grouped, with_instances};
use crate::rows::{self, cluster_columns, instance_columns};

/// Clusters of any project, chosen by what is given.
macro_rules! clusters {
    ($which:literal) => {
        concat!(
            "SELECT c.deleted_at AS c_deleted_at, ",
            cluster_columns!(),
            ", ",
            instance_columns!(),
            " FROM (SELECT * FROM clusters WHERE ",
            $which,
            ") c",
            with_instances!()
        )
    };
}

const ALL: &str = clusters!("id > ? ORDER BY id LIMIT ?");
const BY_DELETED: &str = clusters!("deleted = ? AND id > ? ORDER BY id LIMIT ?");
const ONE: &str = clusters!("id = ?");

impl<B: Backend> SqlStore<B> {
    /// See `Store::operator_clusters`.
    pub(crate) async fn read_operator_clusters(
        &self,
        deleted: Option<bool>,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<OperatorCluster>, StoreError> {
        // Every id is greater than the empty text.
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = match deleted {
            Some(deleted) => self.rows(BY_DELETED, values![deleted, after, limit]).await?,
            None => self.rows(ALL, values![after, limit]).await?,
        };
        let mut found = Vec::new();
        for (first, cluster, instances) in grouped::<B>(&rows)? {
            let deleted_at = rows::time_or_null(first, "c_deleted_at")?;
            found.push(OperatorCluster { cluster, instances, deleted_at });
        }
        Ok(found)
    }

    /// See `Store::operator_cluster`.
    pub(crate) async fn read_operator_cluster(&self, id: ClusterId) -> Result<Option<OperatorCluster>, StoreError> {
        let rows = self.rows(ONE, values![printed(id)]).await?;
        let Some((first, cluster, instances)) = grouped::<B>(&rows)?.into_iter().next() else { return Ok(None) };
        let deleted_at = rows::time_or_null(first, "c_deleted_at")?;
        Ok(Some(OperatorCluster { cluster, instances, deleted_at }))
    }
}
