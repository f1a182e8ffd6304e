//! Clusters: one file an operation.

pub(crate) mod action;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod show_instance;

use redtrove_core::ClusterId;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;

/// The caller's cluster `id`. One of another project is not found, as if it did not exist.
async fn own(app: &App, caller: &Caller, id: ClusterId) -> Result<(Cluster, Vec<Instance>), Refusal> {
    let found = app.store().cluster(id).await?;
    found.filter(|(cluster, _)| cluster.project == *caller.project()).ok_or_else(|| Refusal::no_cluster(id))
}
