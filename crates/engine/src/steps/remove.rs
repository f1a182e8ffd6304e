//! Remove a leaver's machine, and hold back its address where its node may be remembered.
//!
//! Done already: there is none, which is what was asked for. A leaver that is dead leaves its cluster by this.

use redtrove_core::InstanceId;

use crate::ports::{Change, Destroyed, Keep};
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId, hold_address: bool) -> Result<Vec<Change>, StepError> {
    let keep = if hold_address { Keep::Address } else { Keep::Nothing };
    match scene.world.compute.destroy(member, keep).await? {
        Destroyed::Going => Err(StepError::Retry("the provider is removing the machine".to_owned())),
        Destroyed::Gone => {
            scene.world.guests.forget(member);
            Ok(vec![Change::Left { instance: member }, Change::Gone { instance: member }])
        }
    }
}
