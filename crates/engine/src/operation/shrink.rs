//! Looking at a cluster that shrinks: the members that stay, those that leave, and what is still owed.

use std::collections::{BTreeMap, BTreeSet};

use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::plan::Next;
use redtrove_core::plan::shrink::{Leaver, Shrinking, remaining};
use redtrove_core::{InstanceId, NodeId};

use super::{Work, members, ours};
use crate::ports::StoreError;

pub(super) async fn look(work: &Work<'_>) -> Result<Next, StoreError> {
    let removed = work.world.store.removed_nodes(Some(work.task.cluster)).await?;
    let removed: BTreeMap<NodeId, BTreeSet<InstanceId>> =
        removed.into_iter().map(|removed| (removed.node, removed.debtors)).collect();
    let leaves = |instance: &&Instance| work.task.members.contains(&instance.id);
    let is_out = |instance: &Instance| instance.lifecycle == Lifecycle::Deleting;
    let standing = work.instances.iter().filter(|instance| instance.lifecycle != Lifecycle::Deleted);
    let (leaving, staying): (Vec<_>, Vec<_>) = standing.partition(leaves);
    // What an earlier shrink could not remove is neither asked nor told.
    let staying: Vec<_> = staying.into_iter().filter(|instance| !is_out(instance)).collect();
    let (staying, left) = tokio::join!(members(work, &staying), members(work, &leaving));
    let leavers: Vec<Leaver> =
        left.into_iter().zip(leaving).map(|(member, row)| Leaver { member, out: is_out(row) }).collect();
    let shrinking = Shrinking {
        staying: &staying,
        leavers: &leavers,
        accepted: work.accepted,
        ours: &ours(work.instances),
        removed: &removed,
    };
    Ok(remaining(&shrinking, work.options.limits, work.elapsed))
}
