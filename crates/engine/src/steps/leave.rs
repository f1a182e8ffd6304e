//! Have a leaver empty itself and forget its cluster and its id. From then on all others owe a FORGET.
//!
//! Done already: the agent keeps the id that its node had, and answers at once.

use redtrove_core::{InstanceId, NodeId};

use crate::ports::{Change, GuestError};
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId, node: NodeId) -> Result<Vec<Change>, StepError> {
    match scene.world.guests.leave(&scene.guest(member)?, &scene.order, node).await {
        Ok(()) => Ok(vec![Change::Left { instance: member }]),
        // It got a slot after all, or was open again: the next look says what follows from that.
        Err(GuestError::Refused(why)) => Err(StepError::Retry(why)),
        Err(error) => Err(error.into()),
    }
}
