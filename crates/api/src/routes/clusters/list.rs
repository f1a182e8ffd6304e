//! `GET /clusters`.

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::paging::{Limit, Paging};
use crate::view::Viewer;
use crate::wire::ClustersBody;

/// The project's clusters, in the order of their ids.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/clusters",
    tag = "clusters",
    operation_id = "list_clusters",
    params(
        ("limit" = Option<Limit>, Query, description = "The most entries in the answer.", example = 20),
        ("marker" = Option<uuid::Uuid>, Query, description = "The last id of the page before."),
    ),
    responses((status = 200, body = ClustersBody))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    paging: Paging,
) -> Result<Json<ClustersBody>, Refusal> {
    let (viewer, after) = (Viewer::new(&app, links), paging.marker()?);
    let mut found = app.store().clusters(caller.project(), after, paging.look_for()).await?;
    let links = paging.cut(&mut found, viewer.links(), |(cluster, _)| cluster.id);
    let clusters = found.iter().map(|(cluster, members)| viewer.cluster_item(cluster, members)).collect();
    Ok(Json(ClustersBody { clusters, links }))
}
