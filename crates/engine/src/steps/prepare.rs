//! Have the agent configure and start redis-server.
//!
//! Done already: the agent compares with what it was told before, and answers at once.

use redtrove_core::InstanceId;

use crate::ports::{Change, PrepareSpec};
use crate::steps::{Scene, StepError};

pub(super) async fn run(scene: &Scene<'_>, member: InstanceId) -> Result<Vec<Change>, StepError> {
    let instance = scene.instance(member)?;
    let spec = PrepareSpec {
        engine: scene.version.engine,
        cluster: scene.cluster.id,
        ram_mb: instance.ram_mb,
        volume_gb: instance.volume_gb,
        settings: scene.version.settings.clone(),
    };
    scene.world.guests.prepare(&scene.guest(member)?, &scene.order, &spec).await?;
    Ok(Vec::new())
}
