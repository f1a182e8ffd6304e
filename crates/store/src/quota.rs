//! What projects may have and what they have: one row a project and resource of each.

use std::collections::BTreeMap;

use redtrove_core::ProjectId;
use redtrove_engine::ports::{Limits, NewInstance, Resource, StoreError, Usage};

use crate::backend::{Backend, Columns, SqlStore, values};
use crate::rows;
use crate::session::Tx;

/// Raises a usage if that keeps it within the limit: `in_use <= limit - amount` cannot overflow.
const RAISE_USAGE: &str = "UPDATE quota_usages SET in_use = in_use + ? \
    WHERE project_id = ? AND resource = ? AND in_use <= ?";

const OWN_LIMITS: &str = "SELECT resource, hard_limit FROM quotas WHERE project_id = ?";

const USAGES: &str = "SELECT resource, in_use, NULL AS hard_limit FROM quota_usages WHERE project_id = ? \
    UNION ALL SELECT resource, NULL AS in_use, hard_limit FROM quotas WHERE project_id = ?";

const FORGET_LIMIT: &str = "DELETE FROM quotas WHERE project_id = ? AND resource = ?";

const INSERT_LIMIT: &str = "INSERT INTO quotas (project_id, resource, hard_limit) VALUES (?, ?, ?)";

impl<B: Backend> SqlStore<B> {
    /// See `Store::usages`.
    pub(crate) async fn read_usages(&self, project: &ProjectId) -> Result<Vec<Usage>, StoreError> {
        let rows = self.rows(USAGES, values![project.as_str(), project.as_str()]).await?;
        let numbers = |resource: Resource, column| number_of(&rows, resource, column);
        let usage = |resource| {
            Ok(Usage {
                resource,
                in_use: numbers(resource, "in_use")?.unwrap_or_default(),
                own_limit: numbers(resource, "hard_limit")?,
            })
        };
        Resource::ALL.into_iter().map(usage).collect()
    }

    /// See `Store::put_limits`. A submission that holds the rows of the usages is waited for, and the next one reads
    /// what is written here.
    pub(crate) async fn write_limits(
        &self,
        project: &ProjectId,
        limits: &BTreeMap<Resource, Option<i64>>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        keep_usages(&mut tx, project).await?;
        for (resource, limit) in limits {
            tx.execute(FORGET_LIMIT, values![project.as_str(), resource.name()]).await?;
            if let Some(limit) = limit {
                tx.execute(INSERT_LIMIT, values![project.as_str(), resource.name(), *limit]).await?;
            }
        }
        tx.commit().await
    }
}

/// The number that a row of the resource has in `column`.
fn number_of(rows: &[impl Columns], resource: Resource, column: &'static str) -> Result<Option<i64>, StoreError> {
    for row in rows {
        if rows::text(row, "resource")?.as_deref() == Some(resource.name())
            && let Some(number) = rows::integer(row, column)?
        {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Holds the rows of the project's usages, in one order for all.
async fn keep_usages<B: Backend>(tx: &mut Tx<B>, project: &ProjectId) -> Result<(), StoreError> {
    for resource in Resource::ALL {
        tx.execute(B::KEEP_USAGE, values![project.as_str(), resource.name()]).await?;
    }
    Ok(())
}

/// Raises the project's usages by what the instances need; the resources for which that is too much.
pub(crate) async fn raise_usages<B: Backend>(
    tx: &mut Tx<B>,
    project: &ProjectId,
    limits: Limits,
    instances: &[NewInstance],
) -> Result<Vec<&'static str>, StoreError> {
    keep_usages(tx, project).await?;
    let own = tx.rows(OWN_LIMITS, values![project.as_str()]).await?;
    let volumes = instances.iter().fold(0_u64, |sum, instance| sum.saturating_add(instance.volume_gb));
    let amounts = [i64::try_from(instances.len()).ok(), i64::try_from(volumes).ok()];
    let mut over = Vec::new();
    for (resource, amount) in Resource::ALL.into_iter().zip(amounts) {
        let limit = number_of(&own, resource, "hard_limit")?.unwrap_or(limits.of(resource));
        let limit = if limit < 0 { i64::MAX } else { limit };
        let raised = match amount {
            Some(amount) => {
                let values = values![amount, project.as_str(), resource.name(), limit - amount];
                tx.execute(RAISE_USAGE, values).await?
            }
            None => 0,
        };
        if raised == 0 {
            over.push(resource.name());
        }
    }
    Ok(over)
}
