//! Operations: how each kind of task looks at the world before its plan decides.

mod create;
mod delete;

use std::time::Duration;

use redtrove_core::InstanceId;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::plan::{Failure, Next};

use crate::task::TaskKind;
use crate::{Options, World};

/// Looks at the world and asks the plan of `kind` what is left.
pub(crate) async fn look(
    kind: TaskKind,
    world: &World,
    options: &Options,
    instances: &[Instance],
    elapsed: Duration,
) -> Next {
    match kind {
        TaskKind::CreateCluster => create::look(world, options.create, instances, elapsed).await,
        TaskKind::DeleteCluster => delete::look(instances),
    }
}

/// What a success makes of the instances.
pub(crate) fn lifecycles(kind: TaskKind, instances: &[Instance]) -> Vec<(InstanceId, Lifecycle)> {
    match kind {
        TaskKind::CreateCluster => {
            let building = instances.iter().filter(|instance| instance.lifecycle == Lifecycle::Building);
            building.map(|instance| (instance.id, Lifecycle::Complete)).collect()
        }
        // Each was written as deleted when its machine was gone.
        TaskKind::DeleteCluster => Vec::new(),
    }
}

/// Whom a failure concerns, each with the reason. A member that is not complete when its create ends will never
/// be, so it says so; one that serves is left alone.
pub(crate) fn faults(instances: &[Instance], failure: &Failure) -> Vec<(InstanceId, String)> {
    let own = |id| failure.members.iter().find(|(member, _)| *member == id).map(|(_, reason)| reason.clone());
    instances
        .iter()
        .filter_map(|instance| {
            let fallback = || {
                (instance.lifecycle == Lifecycle::Building)
                    .then(|| format!("the cluster could not be formed: {}", failure.fault.message))
            };
            Some((instance.id, own(instance.id).or_else(fallback)?))
        })
        .collect()
}
