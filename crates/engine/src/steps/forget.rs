//! Have a member forget nodes that were removed.
//!
//! Done already: a node that Redis does not know is forgotten.

use redtrove_core::{InstanceId, NodeId};

use crate::ports::Change;
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId, nodes: &[NodeId]) -> Result<Vec<Change>, StepError> {
    scene.world.guests.remove_nodes(&scene.guest(member)?, &scene.order, nodes).await?;
    Ok(nodes.iter().map(|node| Change::Forgotten { instance: member, node: *node }).collect())
}
