//! Give a node the product's node timeout back and let tenants in.
//!
//! Done already: the agent keeps it on disk and answers at once.

use redtrove_core::InstanceId;

use crate::ports::Change;
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId) -> Result<Vec<Change>, StepError> {
    scene.world.guests.complete(&scene.guest(member)?, &scene.order).await?;
    Ok(Vec::new())
}
