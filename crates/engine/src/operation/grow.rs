//! Looking at a cluster that grows: the members that serve, and those that join.

use std::collections::BTreeSet;

use redtrove_core::NodeId;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::plan::Next;
use redtrove_core::plan::grow::{Growing, remaining};

use super::{Work, members, ours};
use crate::ports::StoreError;

pub(super) async fn look(work: &Work<'_>) -> Result<Next, StoreError> {
    let removed = work.world.store.removed_nodes(Some(work.task.cluster)).await?;
    let removed: BTreeSet<NodeId> = removed.into_iter().map(|removed| removed.node).collect();
    let joins = |instance: &Instance| work.task.members.contains(&instance.id);
    let serves = |instance: &Instance| instance.lifecycle == Lifecycle::Complete && !joins(instance);
    let of = |wanted: &dyn Fn(&Instance) -> bool| -> Vec<&Instance> {
        work.instances.iter().filter(|instance| wanted(instance)).collect()
    };
    let (serving, joining) = (of(&serves), of(&joins));
    let (serving, joiners) = tokio::join!(members(work, &serving), members(work, &joining));
    let growing = Growing { serving: &serving, joiners: &joiners, ours: &ours(work.instances), removed: &removed };
    Ok(remaining(&growing, work.options.limits, work.elapsed))
}
