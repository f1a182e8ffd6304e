//! `GET /clusters/{id}/instances/{id}`.

use axum::Json;
use axum::extract::State;

use super::reached;
use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::path::Segments;
use crate::view::Viewer;
use crate::wire::InstanceBody;

/// One member of a cluster.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/clusters/{cluster_id}/instances/{instance_id}",
    tag = "clusters",
    operation_id = "show_cluster_instance",
    params(
        ("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224"),
        ("instance_id" = uuid::Uuid, Path, description = "The id of the member.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1"),
    ),
    responses((status = 200, body = InstanceBody))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
) -> Result<Json<InstanceBody>, Refusal> {
    let (cluster, members) = reached(&app, &caller, path.cluster()?).await?;
    let id = path.instance()?;
    let member = members.iter().find(|member| member.id == id).ok_or_else(|| Refusal::no_resource(id))?;
    let viewer = Viewer::new(&app, links).at_present(&app, [member]).await?;
    Ok(Json(InstanceBody { instance: viewer.instance_view(member, &cluster.datastore) }))
}
