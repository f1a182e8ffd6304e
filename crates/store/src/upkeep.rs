//! What looking after an installation reads and writes: see `Upkeep`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::instance::Instance;
use redtrove_core::{ClusterId, InstanceId, NodeId, ProjectId, Timestamp};
use redtrove_engine::ports::{
    Amendment, OPERATION_LOST, ORPHANS_ARE_SEEN_WITHIN, OpenTask, Orphan, Resource, StoreError, TASK_ASTRAY, Upkeep,
    UsageDifference, Watched,
};

use crate::backend::{Backend, RowOf, SqlStore, Value, printed, values};
use crate::log::bury;
use crate::passing::retried;
use crate::rows::{self, instance_columns};
use crate::submit::BLAME_BUILDING;

const LOOKED: &str = "SELECT taken_at, expires_at FROM leases WHERE name = 'monitor'";

const SLOTS_SERVED: &str = "SELECT id, slots_served FROM clusters WHERE deleted = 0";

const SERVE: &str = "UPDATE clusters SET slots_served = ?, updated = ? WHERE id = ? AND deleted = 0";

const OPEN_TASKS: &str = "SELECT * FROM tasks WHERE state IN ('pending', 'running') ORDER BY created, id";

const LEFT_BEHIND: &str = concat!(
    "SELECT ",
    instance_columns!(),
    " FROM instances i JOIN clusters c ON c.id = i.cluster_id WHERE i.lifecycle <> 'deleted' AND c.deleted = 1 \
     ORDER BY i.id"
);

/// What is counted and what is said, side by side, so that both are of one moment.
const USAGES: &str = "SELECT c.project_id AS project_id, 'instances' AS resource, COUNT(*) AS counted, 0 AS in_use \
    FROM instances i JOIN clusters c ON c.id = i.cluster_id WHERE i.lifecycle <> 'deleted' GROUP BY c.project_id \
    UNION ALL SELECT c.project_id, 'volumes', CAST(SUM(i.volume_gb) AS SIGNED), 0 \
    FROM instances i JOIN clusters c ON c.id = i.cluster_id WHERE i.lifecycle <> 'deleted' GROUP BY c.project_id \
    UNION ALL SELECT project_id, resource, 0, in_use FROM quota_usages";

const OLD_DEBTS: &str = "SELECT r.node_id AS node_id FROM removed_nodes r JOIN instances i ON i.id = r.instance_id \
    WHERE r.paid IS NULL AND i.updated < ? ORDER BY r.node_id";

/// Sixteen ids at a time: a statement has a fixed number of places.
const KNOWN: &str = "SELECT id FROM instances WHERE id IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const KNOWN_PLACES: usize = 16;

const ORPHANS: &str = "SELECT instance_id, first_seen FROM orphans ORDER BY instance_id";

/// When orphans were last looked for.
const LAST_LOOK: &str = "SELECT taken_at FROM leases WHERE name = 'orphans'";

const LOOK: &str = "UPDATE leases SET taken_at = ? WHERE name = 'orphans'";

const ADD_ORPHAN: &str = "INSERT INTO orphans (instance_id, first_seen) VALUES (?, ?)";

const DROP_ORPHAN: &str = "DELETE FROM orphans WHERE instance_id = ?";

const FREE: &str = "UPDATE clusters SET task = 'NONE', operation = NULL, fault = ?, updated = ? \
    WHERE id = ? AND deleted = 0 AND task <> 'NONE' AND NOT EXISTS \
    (SELECT 1 FROM tasks t WHERE t.id = clusters.operation AND t.state IN ('pending', 'running'))";

const SUPERSEDE: &str = "UPDATE tasks SET state = 'failed', fault = ?, ended = ?, lease_owner = NULL, \
    lease_expires_at = NULL WHERE id = ? AND state IN ('pending', 'running') AND NOT EXISTS \
    (SELECT 1 FROM clusters c WHERE c.id = tasks.cluster_id AND c.operation = tasks.id AND c.deleted = 0)";

const RECOUNT_INSTANCES: &str = "UPDATE quota_usages SET in_use = (SELECT COUNT(*) FROM instances i \
    JOIN clusters c ON c.id = i.cluster_id WHERE i.lifecycle <> 'deleted' AND c.project_id = ?) \
    WHERE project_id = ? AND resource = 'instances'";

const RECOUNT_VOLUMES: &str = "UPDATE quota_usages SET in_use = (SELECT COALESCE(SUM(i.volume_gb), 0) FROM instances i \
    JOIN clusters c ON c.id = i.cluster_id WHERE i.lifecycle <> 'deleted' AND c.project_id = ?) \
    WHERE project_id = ? AND resource = 'volumes'";

const BLAME: &str = "UPDATE instances SET fault = ?, updated = ? \
    WHERE id = ? AND lifecycle = 'building' AND fault IS NULL AND EXISTS \
    (SELECT 1 FROM clusters c WHERE c.id = instances.cluster_id AND c.task = 'NONE')";

#[async_trait]
impl<B: Backend> Upkeep for SqlStore<B> {
    async fn watched(&self) -> Result<Watched, StoreError> {
        let (looked, until) = match self.row(LOOKED, values![]).await? {
            Some(row) => (rows::time_or_null(&row, "taken_at")?, Some(rows::time(&row, "expires_at")?)),
            None => (None, None),
        };
        // After what it is compared with: nobody has looked in the future.
        Ok(Watched { now: self.clock().await?, looked, until })
    }

    async fn slots_served(&self) -> Result<BTreeMap<ClusterId, Option<u32>>, StoreError> {
        let rows = self.rows(SLOTS_SERVED, values![]).await?;
        rows.iter().map(|row| Ok((rows::parsed(row, "id")?, rows::number_or_null(row, "slots_served")?))).collect()
    }

    async fn put_slots_served(&self, served: &[(ClusterId, u32)]) -> Result<(), StoreError> {
        retried!(self.write_slots_served(served))
    }

    async fn open_tasks(&self) -> Result<Vec<OpenTask>, StoreError> {
        let rows = self.rows(OPEN_TASKS, values![]).await?;
        let open = rows.iter().map(|row| {
            Ok(OpenTask {
                task: rows::task(row)?,
                lease_ends: rows::time_or_null(row, "lease_expires_at")?,
                not_before: rows::time(row, "not_before")?,
            })
        });
        open.collect()
    }

    async fn left_behind(&self) -> Result<Vec<Instance>, StoreError> {
        self.rows(LEFT_BEHIND, values![]).await?.iter().map(rows::instance).collect()
    }

    async fn usage_differences(&self) -> Result<Vec<UsageDifference>, StoreError> {
        let mut usages: BTreeMap<(String, &'static str), UsageDifference> = BTreeMap::new();
        for row in &self.rows(USAGES, values![]).await? {
            let project: ProjectId = rows::parsed(row, "project_id")?;
            let name = rows::present(rows::text(row, "resource")?, "resource")?;
            let Some(resource) = Resource::ALL.into_iter().find(|resource| resource.name() == name) else {
                return Err(StoreError::Corrupt { what: "resource", value: name });
            };
            let key = (project.to_string(), resource.name());
            let usage = usages.entry(key).or_insert(UsageDifference { project, resource, in_use: 0, counted: 0 });
            usage.in_use += rows::present(rows::integer(row, "in_use")?, "in_use")?;
            usage.counted += rows::present(rows::integer(row, "counted")?, "counted")?;
        }
        Ok(usages.into_values().filter(|usage| usage.in_use != usage.counted).collect())
    }

    async fn old_debts(&self, age: Duration) -> Result<Vec<NodeId>, StoreError> {
        let before = self.clock().await?.before(age);
        let rows = self.rows(OLD_DEBTS, values![before]).await?;
        rows.iter().map(|row| rows::parsed(row, "node_id")).collect()
    }

    async fn unknown_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
        let mut unknown: BTreeSet<InstanceId> = ids.iter().copied().collect();
        for part in ids.chunks(KNOWN_PLACES) {
            let mut places: Vec<Value> = part.iter().map(printed).collect();
            places.resize(KNOWN_PLACES, Value::Null);
            for row in &self.rows(KNOWN, places).await? {
                unknown.remove(&rows::parsed(row, "id")?);
            }
        }
        Ok(unknown)
    }

    async fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        let last = last_look::<B>(self.row(LAST_LOOK, values![]).await?)?;
        let rows = self.rows(ORPHANS, values![]).await?;
        let now = self.clock().await?;
        let orphan = |row| {
            let first_seen = if looks_go_on(last, now) { rows::time(row, "first_seen")? } else { now };
            Ok(Orphan { instance: rows::parsed(row, "instance_id")?, first_seen })
        };
        rows.iter().map(orphan).collect()
    }

    async fn put_orphans(&self, present: &BTreeSet<InstanceId>) -> Result<(), StoreError> {
        retried!(self.write_orphans(present))
    }

    async fn amend(&self, amendment: &Amendment) -> Result<bool, StoreError> {
        // What an earlier run may have put right is right now, whoever did it.
        retried!(self.write_amendment(amendment), lost false => Ok(true))
    }
}

fn last_look<B: Backend>(row: Option<RowOf<B>>) -> Result<Option<Timestamp>, StoreError> {
    row.map_or(Ok(None), |row| rows::time_or_null(&row, "taken_at"))
}

/// Whether somebody has looked for orphans until `now`. A clock that was set says nothing of how long they were seen.
fn looks_go_on(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_some_and(|last| now.since(last).max(last.since(now)) <= ORPHANS_ARE_SEEN_WITHIN)
}

impl<B: Backend> SqlStore<B> {
    async fn write_slots_served(&self, served: &[(ClusterId, u32)]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (cluster, count) in served {
            tx.execute(SERVE, values![*count, tx.now, printed(*cluster)]).await?;
        }
        tx.commit().await
    }

    async fn write_orphans(&self, present: &BTreeSet<InstanceId>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // One at a time: two that add the same one would be in each other's way.
        tx.execute(B::KEEP_LEASE, values!["orphans"]).await?;
        let last = last_look::<B>(tx.one(LAST_LOOK, values![]).await?)?;
        let rows = tx.rows(ORPHANS, values![]).await?;
        let mut known: BTreeSet<InstanceId> =
            rows.iter().map(|row| rows::parsed(row, "instance_id")).collect::<Result<_, _>>()?;
        for id in known.clone() {
            if !present.contains(&id) || !looks_go_on(last, tx.now) {
                tx.execute(DROP_ORPHAN, values![printed(id)]).await?;
                known.remove(&id);
            }
        }
        tx.execute(LOOK, values![tx.now]).await?;
        for new in present.difference(&known) {
            tx.execute(ADD_ORPHAN, values![printed(*new), tx.now]).await?;
        }
        tx.commit().await
    }

    /// In one transaction, with the cluster before its instances, as everywhere.
    async fn write_amendment(&self, amendment: &Amendment) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let now = tx.now;
        let matched = match amendment {
            Amendment::Free { cluster } => {
                let freed = tx.execute(FREE, values![OPERATION_LOST, now, printed(*cluster)]).await?;
                if freed > 0 {
                    tx.execute(BLAME_BUILDING, values![OPERATION_LOST, now, printed(*cluster)]).await?;
                }
                freed
            }
            Amendment::Supersede { task } => tx.execute(SUPERSEDE, values![TASK_ASTRAY, now, printed(*task)]).await?,
            Amendment::Recount { project, resource } => {
                let project = project.as_str();
                tx.execute(B::KEEP_USAGE, values![project, resource.name()]).await?;
                let recount = match resource {
                    Resource::Instances => RECOUNT_INSTANCES,
                    Resource::Volumes => RECOUNT_VOLUMES,
                };
                tx.execute(recount, values![project, project]).await?
            }
            Amendment::Blame { instance } => {
                tx.execute(BLAME, values![OPERATION_LOST, now, printed(*instance)]).await?
            }
            Amendment::Bury { instance } => u64::from(bury(&mut tx, *instance).await?),
        };
        if matched == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }
}
