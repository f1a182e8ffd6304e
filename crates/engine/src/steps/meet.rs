//! Have a member shake hands with another.
//!
//! Done already: Redis meets a node that it knows once more, to no effect. The handshake ends later; the plan looks.

use redtrove_core::InstanceId;
use redtrove_core::instance::REDIS_PORT;
use redtrove_core::plan::Joining;

use crate::ports::Change;
use crate::steps::{Scene, StepError};

pub(super) async fn run(
    scene: &Scene<'_>,
    member: InstanceId,
    with: InstanceId,
    joining: Option<Joining>,
) -> Result<Vec<Change>, StepError> {
    let guest = scene.guest(member)?;
    scene.world.guests.meet(&guest, &scene.order, scene.ip(with)?, REDIS_PORT, joining).await?;
    Ok(Vec::new())
}
