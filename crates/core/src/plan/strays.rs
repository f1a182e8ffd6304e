//! Nodes that the members remember and that nobody has any more.

use std::collections::BTreeSet;

use crate::ids::NodeId;
use crate::topology::{NodeView, Reach};

/// The ids that the members of a cluster are to forget before its topology is judged: those `removed` from it that
/// one of the views still lists, and those that are none of `ours`, own nothing, and are out of reach for good in
/// every view that lists them. Nobody removed the latter by us, but a cluster that was mended by hand may have some.
pub(super) fn strays(views: &[&NodeView], ours: &BTreeSet<NodeId>, removed: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let listed: BTreeSet<NodeId> = views.iter().flat_map(|view| view.known()).collect();
    let is_lost = |id: NodeId| {
        views
            .iter()
            .filter_map(|view| view.node(id))
            .all(|line| line.slots.is_empty() && !line.myself && (line.noaddr || line.reach == Reach::Failed))
    };
    listed.into_iter().filter(|id| removed.contains(id) || (!ours.contains(id) && is_lost(*id))).collect()
}
