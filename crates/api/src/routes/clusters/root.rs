//! `/clusters/{id}/root`: Trove has it for other datastores. Clusters here have no password to be enabled.

use axum::extract::State;
use redtrove_core::Fault;

use super::reached;
use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::path::Segments;

/// Whether the root user is enabled: not supported.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/clusters/{cluster_id}/root",
    tag = "clusters",
    operation_id = "show_root",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224")),
    responses((status = 400, description = "Clusters have no root user."))
)]
pub(crate) async fn show(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path, "show_root").await
}

/// Enables the root user: not supported.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters/{cluster_id}/root",
    tag = "clusters",
    operation_id = "enable_root",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224")),
    responses((status = 400, description = "Clusters have no root user."))
)]
pub(crate) async fn enable(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path, "enable_root").await
}

/// Disables the root user: not supported.
#[utoipa::path(
    delete,
    path = "/v1.0/{project_id}/clusters/{cluster_id}/root",
    tag = "clusters",
    operation_id = "disable_root",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224")),
    responses((status = 400, description = "Clusters have no root user."))
)]
pub(crate) async fn disable(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path, "disable_root").await
}

async fn refuse(State(app): State<App>, caller: Caller, path: Segments, operation: &str) -> Result<(), Refusal> {
    reached(&app, &caller, path.cluster()?).await?;
    Err(Fault::bad_request(format!("The '{operation}' operation is not supported for cluster.")).into())
}
