//! Instances: every one is a member of a cluster, and members are hidden from lists unless they are asked for.

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::paging::Paging;
use crate::path::Segments;
use crate::view::Viewer;
use crate::wire::{InstanceBody, InstancesBody};

/// The project's instances.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/instances",
    tag = "instances",
    operation_id = "list_instances",
    params(
        ("include_clustered" = Option<bool>, Query, description = "Whether members of clusters are listed too."),
        ("limit" = Option<u32>, Query, minimum = 1, description = "The most entries in the answer."),
        ("marker" = Option<uuid::Uuid>, Query, description = "The last id of the page before."),
    ),
    responses((status = 200, body = InstancesBody))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    paging: Paging,
) -> Result<Json<InstancesBody>, Refusal> {
    let (viewer, after) = (Viewer::new(&app, links).at(app.store().now().await?), paging.marker()?);
    if !paging.flag("include_clustered") {
        return Ok(Json(InstancesBody { instances: Vec::new(), links: Vec::new() }));
    }
    let mut found = app.store().instances(caller.project(), after, paging.look_for()).await?;
    let links = paging.cut(&mut found, viewer.links(), |(_, instance)| instance.id);
    let instances = found.iter().map(|(cluster, instance)| viewer.instance_item(instance, &cluster.datastore));
    Ok(Json(InstancesBody { instances: instances.collect(), links }))
}

/// One instance, whatever cluster it is a member of.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/instances/{instance_id}",
    tag = "instances",
    operation_id = "show_instance",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.")),
    responses((status = 200, body = InstanceBody))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
) -> Result<Json<InstanceBody>, Refusal> {
    let id = path.instance()?;
    let found = app.store().instance(caller.project(), id).await?;
    let (cluster, instance) = found.ok_or_else(|| Refusal::no_resource(id))?;
    let viewer = Viewer::new(&app, links).at(app.store().now().await?);
    Ok(Json(InstanceBody { instance: viewer.instance_view(&instance, &cluster.datastore) }))
}
