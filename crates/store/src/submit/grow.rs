//! A cluster to be grown.

use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;
use redtrove_core::request::MOST_MEMBERS;
use redtrove_engine::ports::{Growth, Joiner, NewInstance, StoreError, SubmitError};

use super::{begin_operation, insert_instances, insert_task};
use crate::answers::{hold_answer, write_answer};
use crate::backend::{Backend, SqlStore, printed, values};
use crate::quota::raise_usages;
use crate::rows::{self, cluster_columns};
use crate::session::Tx;

const CLUSTER: &str = concat!(
    "SELECT ",
    cluster_columns!(),
    " FROM clusters c JOIN datastore_versions v ON v.id = c.version_id JOIN datastores d ON d.id = v.datastore_id \
     WHERE c.id = ?"
);

/// The highest number that was ever used, and how many there are now.
const COUNTS: &str = "SELECT MAX(number) AS highest, COUNT(CASE WHEN lifecycle <> 'deleted' THEN 1 END) AS present \
    FROM instances WHERE cluster_id = ?";

impl<B: Backend> SqlStore<B> {
    /// See `Store::grow_cluster`.
    pub(crate) async fn insert_growth(&self, growth: &Growth) -> Result<(Cluster, Vec<Instance>), SubmitError> {
        let mut tx = self.begin().await?;
        if let Some(answer) = &growth.answer {
            hold_answer(&mut tx, &answer.key).await?;
        }
        begin_operation(&mut tx, &growth.project, growth.cluster, &growth.task).await?;
        let row = rows::present(tx.one(CLUSTER, values![printed(growth.cluster)]).await?, "cluster")?;
        let cluster = rows::cluster(&row)?;
        let joiners = number_joiners(&mut tx, &cluster, &growth.joiners).await?;
        let now = tx.now;
        insert_instances(&mut tx, growth.cluster, &joiners, now).await?;
        insert_task(&mut tx, growth.cluster, &growth.task).await?;
        let over = raise_usages(&mut tx, &growth.project, growth.limits, &joiners).await?;
        if !over.is_empty() {
            return Err(SubmitError::Quota(over));
        }
        let instances: Vec<_> = joiners.iter().map(|joiner| joiner.row(growth.cluster, now)).collect();
        if let Some(answer) = &growth.answer {
            write_answer(&mut tx, &answer.made(&cluster, &instances, growth.task.id)).await?;
        }
        tx.commit().await?;
        Ok((cluster, instances))
    }

    /// What a growth led to, if it was taken.
    pub(crate) async fn find_growth(&self, growth: &Growth) -> Result<Option<(Cluster, Vec<Instance>)>, SubmitError> {
        if self.find_task(growth.task.id).await?.is_none() {
            return Ok(None);
        }
        let (cluster, mut instances) = self.read_cluster(growth.cluster).await?.ok_or(SubmitError::NotFound)?;
        instances.retain(|instance| growth.task.members.contains(&instance.id));
        Ok(Some((cluster, instances)))
    }
}

/// Gives the joiners the numbers and names that follow, unless they are too many.
async fn number_joiners<B: Backend>(
    tx: &mut Tx<B>,
    cluster: &Cluster,
    joiners: &[Joiner],
) -> Result<Vec<NewInstance>, SubmitError> {
    let row = rows::present(tx.one(COUNTS, values![printed(cluster.id)]).await?, "instances")?;
    let wanted = rows::number::<usize>(&row, "present")?.saturating_add(joiners.len());
    if wanted > MOST_MEMBERS {
        return Err(SubmitError::TooMany(wanted));
    }
    let highest = rows::number_or_null::<u32>(&row, "highest")?.unwrap_or_default();
    let numbered = joiners.iter().zip(1_u32..).map(|(joiner, place)| {
        let number = highest.checked_add(place).ok_or_else(|| StoreError::Broken("the numbers are used up".into()))?;
        Ok(joiner.numbered(&cluster.name, number))
    });
    numbered.collect()
}
