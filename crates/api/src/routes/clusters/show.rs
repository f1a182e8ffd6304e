//! `GET /clusters/{id}`.

use axum::Json;
use axum::extract::State;
use redtrove_core::ClusterId;

use super::reached;
use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::path::Segments;
use crate::view::{self, Viewer};
use crate::wire::ClusterBody;

/// One cluster.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/clusters/{cluster_id}",
    tag = "clusters",
    operation_id = "show_cluster",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224")),
    responses((status = 200, body = ClusterBody))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
) -> Result<Json<ClusterBody>, Refusal> {
    body(&app, &caller, links, path.cluster()?).await.map(Json)
}

/// The cluster `id`, as it is now.
pub(super) async fn body(app: &App, caller: &Caller, links: Links, id: ClusterId) -> Result<ClusterBody, Refusal> {
    let (cluster, members) = reached(app, caller, id).await?;
    let task = match cluster.operation {
        Some(task) => app.store().task(task).await?,
        None => None,
    };
    let viewer = Viewer::new(app, links).at_present(app, &members).await?;
    let operation = task.as_ref().and_then(view::operation);
    Ok(ClusterBody { cluster: viewer.cluster_view(&cluster, &members, operation) })
}
