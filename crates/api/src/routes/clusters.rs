//! Clusters: one file an operation.

pub(crate) mod action;
pub(crate) mod create;
pub(crate) mod delete;
mod grow;
pub(crate) mod list;
pub(crate) mod reset;
pub(crate) mod root;
pub(crate) mod show;
pub(crate) mod show_instance;
mod shrink;

use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::Instance;
use redtrove_core::{ClusterId, ProjectId};
use redtrove_engine::ports::SubmitError;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;

/// The cluster `id`, if the caller reaches it: one of his project's, an admin any. One that he does not reach is not
/// found, as if it did not exist.
async fn reached(app: &App, caller: &Caller, id: ClusterId) -> Result<(Cluster, Vec<Instance>), Refusal> {
    let found = app.store().cluster(id).await?;
    let reached = found.filter(|(cluster, _)| caller.is_admin() || cluster.project == *caller.project());
    reached.ok_or_else(|| Refusal::no_cluster(id))
}

/// The project whose cluster `id` the caller means: his own, or for an admin that of the cluster.
async fn owner(app: &App, caller: &Caller, id: ClusterId) -> Result<ProjectId, Refusal> {
    if caller.is_admin() {
        return Ok(reached(app, caller, id).await?.0.project);
    }
    Ok(caller.project().clone())
}

/// An error unless the cluster is ready for the next operation.
fn check_free(cluster: &Cluster) -> Result<(), Refusal> {
    match cluster.task {
        ClusterTask::None => Ok(()),
        task => Err(Refusal::of_submission(SubmitError::Busy(task), Some(cluster.id))),
    }
}
