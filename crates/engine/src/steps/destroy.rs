//! Remove a member's machine and all it holds.
//!
//! Done already: there is none, which is what was asked for.

use redtrove_core::InstanceId;

use crate::ports::{Change, Destroyed, Keep};
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId) -> Result<Vec<Change>, StepError> {
    match scene.world.compute.destroy(member, Keep::Nothing).await? {
        Destroyed::Going => Err(StepError::Retry("the provider is removing the machine".to_owned())),
        Destroyed::Gone => {
            scene.world.guests.forget(member);
            Ok(vec![Change::Gone { instance: member }])
        }
    }
}
