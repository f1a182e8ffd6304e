//! What is read: clusters with their instances, tasks, step logs. Each is one query, so it sees one state.

use std::collections::BTreeSet;

use redtrove_core::cluster::Cluster;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::{ClusterId, InstanceId, ProjectId, TaskId};
use redtrove_engine::ports::StoreError;
use redtrove_engine::task::{StepRecord, Task};

use crate::backend::{Backend, RowOf, SqlStore, Value, printed, values};
use crate::rows::{self, cluster_columns, instance_columns};

/// The rest of a query for clusters `c`: their labels and their instances, in member order.
macro_rules! with_instances {
    () => {
        " JOIN datastore_versions v ON v.id = c.version_id JOIN datastores d ON d.id = v.datastore_id \
         LEFT JOIN instances i ON i.cluster_id = c.id AND i.lifecycle <> 'deleted' ORDER BY c.id, i.number"
    };
}
pub(crate) use with_instances;

const CLUSTER: &str = concat!(
    "SELECT ",
    cluster_columns!(),
    ", ",
    instance_columns!(),
    " FROM (SELECT * FROM clusters WHERE id = ? AND deleted = 0) c",
    with_instances!()
);

const CLUSTERS: &str = concat!(
    "SELECT ",
    cluster_columns!(),
    ", ",
    instance_columns!(),
    " FROM (SELECT * FROM clusters WHERE project_id = ? AND deleted = 0 AND id > ? ORDER BY id LIMIT ?) c",
    with_instances!()
);

/// Instances of a project `i` with their clusters `c`; what follows says which.
macro_rules! instances_of_project {
    ($which:literal) => {
        concat!(
            "SELECT ",
            cluster_columns!(),
            ", ",
            instance_columns!(),
            " FROM instances i JOIN clusters c ON c.id = i.cluster_id JOIN datastore_versions v ON v.id = c.version_id \
             JOIN datastores d ON d.id = v.datastore_id \
             WHERE c.project_id = ? AND c.deleted = 0 AND i.lifecycle <> 'deleted' AND ",
            $which
        )
    };
}

const INSTANCE: &str = instances_of_project!("i.id = ?");

const INSTANCES: &str = instances_of_project!("i.id > ? ORDER BY i.id LIMIT ?");

const COMPLETE: &str =
    concat!("SELECT ", instance_columns!(), " FROM instances i WHERE i.lifecycle = 'complete' ORDER BY i.id");

/// Sixteen ids at a time: a statement has a fixed number of places. What is deleted is picked out afterwards: asked for
/// here, SQLite would walk through everything that ever was.
const NOT_HELD: &str = "SELECT id, lifecycle FROM instances \
    WHERE id IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
    AND NOT EXISTS (SELECT 1 FROM removed_nodes r WHERE r.instance_id = instances.id)";
const NOT_HELD_PLACES: usize = 16;

const TASK: &str = "SELECT * FROM tasks WHERE id = ?";

/// By the database's clock: ids come from those of the APIs, which may differ.
const TASKS: &str = "SELECT * FROM tasks ORDER BY created DESC, id DESC LIMIT ?";

const TASKS_OF_CLUSTER: &str = "SELECT * FROM tasks WHERE cluster_id = ? ORDER BY created DESC, id DESC LIMIT ?";

const STEPS: &str = "SELECT * FROM task_steps WHERE task_id = ? ORDER BY seq";

impl<B: Backend> SqlStore<B> {
    pub(crate) async fn read_cluster(&self, id: ClusterId) -> Result<Option<(Cluster, Vec<Instance>)>, StoreError> {
        let rows = self.rows(CLUSTER, values![printed(id)]).await?;
        Ok(grouped::<B>(&rows)?.into_iter().next().map(|(_, cluster, instances)| (cluster, instances)))
    }

    pub(crate) async fn read_clusters(
        &self,
        project: &ProjectId,
        after: Option<ClusterId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Vec<Instance>)>, StoreError> {
        // Every id is greater than the empty text.
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self.rows(CLUSTERS, values![project.as_str(), after, limit]).await?;
        Ok(grouped::<B>(&rows)?.into_iter().map(|(_, cluster, instances)| (cluster, instances)).collect())
    }

    pub(crate) async fn read_instance(
        &self,
        project: &ProjectId,
        id: InstanceId,
    ) -> Result<Option<(Cluster, Instance)>, StoreError> {
        let row = self.row(INSTANCE, values![project.as_str(), printed(id)]).await?;
        row.map(|row| Ok((rows::cluster(&row)?, rows::instance(&row)?))).transpose()
    }

    pub(crate) async fn read_instances(
        &self,
        project: &ProjectId,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<(Cluster, Instance)>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self.rows(INSTANCES, values![project.as_str(), after, limit]).await?;
        rows.iter().map(|row| Ok((rows::cluster(row)?, rows::instance(row)?))).collect()
    }

    pub(crate) async fn read_complete(&self) -> Result<Vec<Instance>, StoreError> {
        self.rows(COMPLETE, values![]).await?.iter().map(rows::instance).collect()
    }

    pub(crate) async fn read_deleted(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
        let mut deleted = BTreeSet::new();
        for part in ids.chunks(NOT_HELD_PLACES) {
            let mut places: Vec<Value> = part.iter().map(printed).collect();
            places.resize(NOT_HELD_PLACES, Value::Null);
            for row in &self.rows(NOT_HELD, places).await? {
                if rows::parsed::<Lifecycle>(row, "lifecycle")? == Lifecycle::Deleted {
                    deleted.insert(rows::parsed(row, "id")?);
                }
            }
        }
        Ok(deleted)
    }

    pub(crate) async fn read_task(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.row(TASK, values![printed(id)]).await?.as_ref().map(rows::task).transpose()
    }

    pub(crate) async fn read_tasks(&self, cluster: Option<ClusterId>, limit: u32) -> Result<Vec<Task>, StoreError> {
        let rows = match cluster {
            Some(cluster) => self.rows(TASKS_OF_CLUSTER, values![printed(cluster), limit]).await?,
            None => self.rows(TASKS, values![limit]).await?,
        };
        rows.iter().map(rows::task).collect()
    }

    pub(crate) async fn read_steps(&self, task: TaskId) -> Result<Vec<StepRecord>, StoreError> {
        self.rows(STEPS, values![printed(task)]).await?.iter().map(rows::step).collect()
    }
}

/// A cluster with its instances, and the first of its rows.
type Group<'r, B> = (&'r RowOf<B>, Cluster, Vec<Instance>);

/// Rows of clusters with one instance each, or none, as clusters with their instances.
pub(crate) fn grouped<B: Backend>(rows: &[RowOf<B>]) -> Result<Vec<Group<'_, B>>, StoreError> {
    let mut clusters: Vec<Group<'_, B>> = Vec::new();
    for row in rows {
        let id = rows::parsed(row, "c_id")?;
        if clusters.last().is_none_or(|(_, cluster, _)| cluster.id != id) {
            clusters.push((row, rows::cluster(row)?, Vec::new()));
        }
        if rows::text(row, "i_id")?.is_some()
            && let Some((_, _, instances)) = clusters.last_mut()
        {
            instances.push(rows::instance(row)?);
        }
    }
    Ok(clusters)
}
