//! Record the node id of a member that passed the join fence. From here on it is compared with what is recorded.
//!
//! Done already: the same id is written again.

use redtrove_core::{InstanceId, NodeId};

use crate::ports::Change;

pub(super) fn run(member: InstanceId, node: NodeId) -> Vec<Change> {
    vec![Change::Node { instance: member, node }]
}
