//! Operations: how each kind of task looks at the world before its plan decides.

mod create;
mod delete;
mod grow;
mod shrink;

use std::collections::BTreeSet;
use std::time::Duration;

use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::plan::{Failure, Member, Next, Sight};
use redtrove_core::{InstanceId, NodeId};
use tokio::time::timeout;

use crate::concurrent::all;
use crate::ports::{Guest, GuestError, Seen, StoreError};
use crate::task::{Task, TaskKind};
use crate::{Options, World};

/// A task at work, as far as a look needs it.
pub(crate) struct Work<'a> {
    pub(crate) world: &'a World,
    pub(crate) options: &'a Options,
    pub(crate) task: &'a Task,
    /// The cluster's instances, in member order.
    pub(crate) instances: &'a [Instance],
    /// What was asked for is allowed.
    pub(crate) accepted: bool,
    /// How long ago the task was first begun.
    pub(crate) elapsed: Duration,
}

/// Looks at the world and asks the plan of the task's kind what is left.
pub(crate) async fn look(work: &Work<'_>) -> Result<Next, StoreError> {
    match work.task.kind {
        TaskKind::CreateCluster => {
            Ok(create::look(work.world, work.options.limits, work.instances, work.elapsed).await)
        }
        TaskKind::DeleteCluster => Ok(delete::look(work.instances)),
        TaskKind::GrowCluster => grow::look(work).await,
        TaskKind::ShrinkCluster => shrink::look(work).await,
    }
}

/// What is seen of one instance. With a bound, one that does not answer within it is silent.
async fn sight(world: &World, instance: &Instance, within: Option<Duration>) -> Sight {
    let Some(ip) = &instance.ip else { return Sight::NoMachine };
    let guest = Guest { instance: instance.id, ip: ip.clone() };
    let asked = world.guests.topology(&guest);
    let answer = match within {
        None => asked.await,
        Some(within) => timeout(within, asked)
            .await
            .unwrap_or_else(|_| Err(GuestError::Silent(format!("no answer within {} ms", within.as_millis())))),
    };
    match answer {
        Ok(Seen::View(view)) => Sight::View(view),
        Ok(Seen::Unprepared) => Sight::Unprepared,
        Err(GuestError::RedisDown(detail)) => Sight::Starting(detail),
        Err(error) => Sight::Silent(error.to_string()),
    }
}

/// The instances as members of a cluster that exists, all looked at now.
async fn members(work: &Work<'_>, instances: &[&Instance]) -> Vec<Member> {
    // Members that serve may be dead; how long that takes to notice is part of what whoever asks waits for.
    let within = Some(work.options.look_within);
    let sights = all(instances.iter().map(|instance| sight(work.world, instance, within)).collect()).await;
    let member = |(instance, sight): (&&Instance, Sight)| Member {
        id: instance.id,
        name: instance.name.clone(),
        ip: instance.ip.clone(),
        node: instance.node_id,
        serves: instance.lifecycle == Lifecycle::Complete,
        sight,
    };
    instances.iter().zip(sights).map(member).collect()
}

/// The ids of all nodes that may be known in the cluster.
fn ours(instances: &[Instance]) -> BTreeSet<NodeId> {
    let inside = |instance: &&Instance| matches!(instance.lifecycle, Lifecycle::Building | Lifecycle::Complete);
    instances.iter().filter(inside).filter_map(|instance| instance.node_id).collect()
}

/// What a success makes of the instances.
pub(crate) fn lifecycles(task: &Task, instances: &[Instance]) -> Vec<(InstanceId, Lifecycle)> {
    let built = instances.iter().filter(|instance| is_built_by(task, instance));
    built.map(|instance| (instance.id, Lifecycle::Complete)).collect()
}

/// Whether the task makes a member of the instance. Others that are being built belong to a grow that failed.
fn is_built_by(task: &Task, instance: &Instance) -> bool {
    instance.lifecycle == Lifecycle::Building
        && match task.kind {
            TaskKind::CreateCluster => true,
            TaskKind::GrowCluster => task.members.contains(&instance.id),
            TaskKind::DeleteCluster | TaskKind::ShrinkCluster => false,
        }
}

/// Whom a failure concerns, each with the reason. A member that is not complete when the task that makes it ends will
/// never be, so it says so; one that serves is left alone.
pub(crate) fn faults(task: &Task, instances: &[Instance], failure: &Failure) -> Vec<(InstanceId, String)> {
    let own = |id| failure.members.iter().find(|(member, _)| *member == id).map(|(_, reason)| reason.clone());
    instances
        .iter()
        .filter(|instance| instance.lifecycle != Lifecycle::Complete)
        .filter_map(|instance| {
            let fallback = || {
                let what = match task.kind {
                    TaskKind::GrowCluster => "it could not join the cluster",
                    _ => "the cluster could not be formed",
                };
                is_built_by(task, instance).then(|| format!("{what}: {}", failure.fault.message))
            };
            Some((instance.id, own(instance.id).or_else(fallback)?))
        })
        .collect()
}
