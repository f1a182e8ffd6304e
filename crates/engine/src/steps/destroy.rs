//! Remove the machines of a whole cluster and all they hold.
//!
//! Done already: there is none, which is what was asked for. No address is free before the last machine is gone: one
//! that still stands may be told to meet another, by a call that comes late, and must not meet whoever is there now.

use redtrove_core::InstanceId;

use crate::concurrent::all;
use crate::ports::{Change, Destroyed, Keep};
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, members: &[InstanceId]) -> Result<Vec<Change>, StepError> {
    for keep in [Keep::Address, Keep::Nothing] {
        let destroyed = all(members.iter().map(|member| destroy(scene, *member, keep)).collect()).await;
        destroyed.into_iter().collect::<Result<(), StepError>>()?;
    }
    Ok(members.iter().map(|member| Change::Gone { instance: *member }).collect())
}

async fn destroy(scene: &Scene<'_>, member: InstanceId, keep: Keep) -> Result<(), StepError> {
    match scene.world.compute.destroy(member, keep).await? {
        Destroyed::Going => Err(StepError::Retry(format!("the provider is removing the machine of instance {member}"))),
        Destroyed::Gone => {
            scene.world.guests.forget(member);
            Ok(())
        }
    }
}
