//! Give a node its configuration epoch and slots, and start the fast gossip of formation.
//!
//! Done already: the agent re-reads what Redis calls busy or non-zero; equal to what is asked for is done.

use std::time::Duration;

use redtrove_core::{InstanceId, NodeId, SlotRange};

use crate::ports::Change;
use crate::steps::{Scene, StepError};

pub(super) async fn run(
    scene: &Scene<'_>,
    member: InstanceId,
    node: NodeId,
    slots: SlotRange,
    epoch: u64,
    forming_node_timeout: Duration,
) -> Result<Vec<Change>, StepError> {
    let guest = scene.guest(member)?;
    scene.world.guests.add_slots(&guest, &scene.order, node, slots, epoch, forming_node_timeout).await?;
    Ok(Vec::new())
}
