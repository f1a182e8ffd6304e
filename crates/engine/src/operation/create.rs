//! Looking at a cluster that is being made: every member's own view, at the same time.

use std::time::Duration;

use redtrove_core::Fault;
use redtrove_core::instance::Instance;
use redtrove_core::plan::create::{Member, remaining};
use redtrove_core::plan::{Failure, Limits, Next};

use crate::World;
use crate::concurrent::all;
use crate::operation::sight;

pub(super) async fn look(world: &World, limits: Limits, instances: &[Instance], elapsed: Duration) -> Next {
    let sights = all(instances.iter().map(|instance| sight(world, instance, None)).collect()).await;
    let mut members = Vec::with_capacity(instances.len());
    for (instance, sight) in instances.iter().zip(sights) {
        let Some(slots) = instance.planned_slots else {
            return Next::Fail(Failure {
                fault: Fault::internal(format!("no slots were planned for {}", instance.name)),
                members: Vec::new(),
            });
        };
        members.push(Member {
            id: instance.id,
            name: instance.name.clone(),
            ip: instance.ip.clone(),
            node: instance.node_id,
            slots,
            sight,
        });
    }
    remaining(&members, limits, elapsed)
}
