//! The part of the database that upkeep needs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::instance::Instance;
use redtrove_core::{ClusterId, InstanceId, NodeId};

use super::{Call, SimStore};
use crate::ports::{Amendment, OpenTask, Orphan, StoreError, Upkeep, UsageDifference, Watched};

#[async_trait]
impl Upkeep for SimStore {
    async fn watched(&self) -> Result<Watched, StoreError> {
        self.read_at("watched", |tables, now| tables.watched(now)).await
    }

    async fn slots_served(&self) -> Result<BTreeMap<ClusterId, Option<u32>>, StoreError> {
        self.read("slots_served", |tables| tables.slots_served()).await
    }

    async fn put_slots_served(&self, served: &[(ClusterId, u32)]) -> Result<(), StoreError> {
        let served = served.to_vec();
        self.write(Call::write("put_slots_served"), move |tables, now| {
            tables.put_slots_served(&served, now);
            Ok(())
        })
        .await
    }

    async fn open_tasks(&self) -> Result<Vec<OpenTask>, StoreError> {
        self.read("open_tasks", |tables| tables.open_tasks()).await
    }

    async fn left_behind(&self) -> Result<Vec<Instance>, StoreError> {
        self.read("left_behind", |tables| tables.left_behind()).await
    }

    async fn usage_differences(&self) -> Result<Vec<UsageDifference>, StoreError> {
        self.read("usage_differences", |tables| tables.usage_differences()).await
    }

    async fn old_debts(&self, age: Duration) -> Result<Vec<NodeId>, StoreError> {
        self.read_at("old_debts", move |tables, now| tables.old_debts(now.before(age))).await
    }

    async fn unknown_among(&self, ids: &[InstanceId]) -> Result<BTreeSet<InstanceId>, StoreError> {
        let ids = ids.to_vec();
        self.read("unknown_among", move |tables| tables.unknown_among(&ids)).await
    }

    async fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        self.read_at("orphans", |tables, now| tables.orphans(now)).await
    }

    async fn put_orphans(&self, present: &BTreeSet<InstanceId>) -> Result<(), StoreError> {
        let present = present.clone();
        self.write(Call::write("put_orphans"), move |tables, now| {
            tables.put_orphans(&present, now);
            Ok(())
        })
        .await
    }

    async fn amend(&self, amendment: &Amendment) -> Result<bool, StoreError> {
        let amendment = amendment.clone();
        self.write(Call::write("amend"), move |tables, now| Ok(tables.amend(&amendment, now))).await
    }
}
