//! Find or make the member's machine.
//!
//! Done already: the provider knows machines by the id of their instance, so asking again finds the same one.

use redtrove_core::InstanceId;

use crate::ports::{Change, InstanceSpec, Machine};
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId) -> Result<Vec<Change>, StepError> {
    let instance = scene.instance(member)?;
    let spec = InstanceSpec {
        id: instance.id,
        cluster: instance.cluster,
        name: instance.name.clone(),
        flavor_id: instance.flavor_id.clone(),
        volume_gb: instance.volume_gb,
        engine: scene.version.engine,
    };
    match scene.world.compute.ensure(&spec).await? {
        Machine::Building => Err(StepError::Retry("the provider is building the machine".to_owned())),
        Machine::Ready { ip } => Ok(vec![Change::Address { instance: member, ip }]),
    }
}
