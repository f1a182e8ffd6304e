//! Steps: each takes what the plan decided and does it, once more if need be.
//!
//! A step makes no choices. It answers with what is to be kept of it, or says whether trying again may help.

mod add_slots;
mod close;
mod complete;
mod destroy;
mod ensure_machine;
mod forget;
mod join_fence;
mod leave;
mod meet;
mod prepare;
mod remove;

use std::collections::HashMap;

use redtrove_core::catalogue::DatastoreVersion;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;
use redtrove_core::plan::Step;
use redtrove_core::{Fault, InstanceId};

use crate::World;
use crate::ports::{Change, ComputeError, Guest, GuestError, Order};

/// What a step works on.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) order: Order,
    pub(crate) cluster: &'a Cluster,
    pub(crate) version: &'a DatastoreVersion,
    pub(crate) instances: &'a HashMap<InstanceId, &'a Instance>,
}

impl Scene<'_> {
    fn instance(&self, id: InstanceId) -> Result<&Instance, StepError> {
        // Plans are made of the instances of the scene, so this is a mistake of ours, not of the tenant.
        self.instances
            .get(&id)
            .copied()
            .ok_or_else(|| StepError::Fail(Fault::internal(format!("instance {id} is not of this cluster"))))
    }

    fn guest(&self, id: InstanceId) -> Result<Guest, StepError> {
        Ok(Guest { instance: id, ip: self.ip(id)?.to_owned() })
    }

    fn ip(&self, id: InstanceId) -> Result<&str, StepError> {
        let ip = self.instance(id)?.ip.as_deref();
        ip.ok_or_else(|| StepError::Retry(format!("the machine of instance {id} has no address yet")))
    }
}

/// A step that did not do what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepError {
    /// Trying again may help.
    Retry(String),
    /// The task fails with it.
    Fail(Fault),
    /// The node has seen a higher generation than the task's.
    OldGeneration {
        /// The highest that it has seen.
        seen: u64,
    },
}

impl From<GuestError> for StepError {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Silent(_) | GuestError::RedisDown(_) => Self::Retry(error.to_string()),
            GuestError::OldGeneration { seen } => Self::OldGeneration { seen },
            GuestError::Refused(_) => Self::Fail(Fault::internal(error.to_string())),
        }
    }
}

impl From<ComputeError> for StepError {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Transient(_) => Self::Retry(error.to_string()),
            ComputeError::Permanent(fault) => Self::Fail(fault),
        }
    }
}

/// Does `step`.
pub(crate) async fn run(scene: &Scene<'_>, step: &Step) -> Result<Vec<Change>, StepError> {
    match step {
        Step::EnsureMachine { member } => ensure_machine::run(scene, *member).await,
        Step::Prepare { member } => prepare::run(scene, *member).await,
        Step::JoinFence { member, node } => Ok(join_fence::run(*member, *node)),
        Step::AddSlots { member, node, slots, epoch, forming_node_timeout } => {
            add_slots::run(scene, *member, *node, *slots, *epoch, *forming_node_timeout).await
        }
        Step::Meet { member, with, joining } => meet::run(scene, *member, *with, *joining).await,
        Step::Complete { member } => complete::run(scene, *member).await,
        Step::Destroy { members } => destroy::run(scene, members).await,
        Step::Close { member, node } => close::run(scene, *member, *node).await,
        Step::Reopen { member, node } => close::undo(scene, *member, *node).await,
        Step::Accept => Ok(vec![Change::Accepted]),
        Step::Leave { member, node } => leave::run(scene, *member, *node).await,
        Step::Forget { member, nodes } => forget::run(scene, *member, nodes).await,
        Step::Remove { member, hold_address } => remove::run(scene, *member, *hold_address).await,
    }
}
