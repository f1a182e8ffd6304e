//! Shut tenants out of a member, or let them in again.
//!
//! Done already: a member that is shut stays so for two minutes from now; one that is open is left alone.

use redtrove_core::{InstanceId, NodeId};

use crate::ports::Change;
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId, node: NodeId) -> Result<Vec<Change>, StepError> {
    scene.world.guests.close(&scene.guest(member)?, &scene.order, node).await?;
    Ok(Vec::new())
}

pub(super) async fn undo(scene: &Scene<'_>, member: InstanceId, node: NodeId) -> Result<Vec<Change>, StepError> {
    scene.world.guests.reopen(&scene.guest(member)?, &scene.order, node).await?;
    Ok(Vec::new())
}
