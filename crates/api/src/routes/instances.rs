//! Instances: every one is a member of a cluster, and members are hidden from lists unless they are asked for.

pub(crate) mod change;

use axum::Json;
use axum::extract::State;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::paging::{Limit, Paging};
use crate::path::Segments;
use crate::view::Viewer;
use crate::wire::{InstanceBody, InstancesBody, InstancesInDetailBody, Link, ModulesBody};

/// The project's instances.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/instances",
    tag = "instances",
    operation_id = "list_instances",
    params(
        ("include_clustered" = Option<bool>, Query, description = "Whether members of clusters are listed too."),
        ("limit" = Option<Limit>, Query, description = "The most entries in the answer.", example = 20),
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
    let (viewer, found, links) = page(&app, &caller, links, &paging).await?;
    let instances = found.iter().map(|(cluster, instance)| viewer.instance_item(instance, &cluster.datastore));
    Ok(Json(InstancesBody { instances: instances.collect(), links }))
}

/// The project's instances, with all that is known of each.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/instances/detail",
    tag = "instances",
    operation_id = "list_instances_in_detail",
    params(
        ("include_clustered" = Option<bool>, Query, description = "Whether members of clusters are listed too."),
        ("limit" = Option<Limit>, Query, description = "The most entries in the answer.", example = 20),
        ("marker" = Option<uuid::Uuid>, Query, description = "The last id of the page before."),
    ),
    responses((status = 200, body = InstancesInDetailBody))
)]
pub(crate) async fn list_in_detail(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    paging: Paging,
) -> Result<Json<InstancesInDetailBody>, Refusal> {
    let (viewer, found, links) = page(&app, &caller, links, &paging).await?;
    let instances = found.iter().map(|(cluster, instance)| viewer.instance_view(instance, &cluster.datastore));
    Ok(Json(InstancesInDetailBody { instances: instances.collect(), links }))
}

/// A page of the project's instances, with their clusters, who shows them, and a link to the next page.
async fn page(
    app: &App,
    caller: &Caller,
    links: Links,
    paging: &Paging,
) -> Result<(Viewer, Vec<(Cluster, Instance)>, Vec<Link>), Refusal> {
    let after = paging.marker()?;
    let viewer = Viewer::new(app, links);
    if !paging.choice("include_clustered")?.unwrap_or(false) {
        return Ok((viewer, Vec::new(), Vec::new()));
    }
    let mut found = app.store().instances(caller.project(), after, paging.look_for()).await?;
    let links = paging.cut(&mut found, viewer.links(), |(_, instance)| instance.id);
    let viewer = viewer.at_present(app, found.iter().map(|(_, instance)| instance)).await?;
    Ok((viewer, found, links))
}

/// One instance, whatever cluster it is a member of.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/instances/{instance_id}",
    tag = "instances",
    operation_id = "show_instance",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 200, body = InstanceBody))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
) -> Result<Json<InstanceBody>, Refusal> {
    let (cluster, instance) = own(&app, &caller, &path).await?;
    let viewer = Viewer::new(&app, links).at_present(&app, [&instance]).await?;
    Ok(Json(InstanceBody { instance: viewer.instance_view(&instance, &cluster.datastore) }))
}

/// The modules of an instance: there are none.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/instances/{instance_id}/modules",
    tag = "instances",
    operation_id = "list_instance_modules",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 200, body = ModulesBody))
)]
pub(crate) async fn modules(
    State(app): State<App>,
    caller: Caller,
    path: Segments,
) -> Result<Json<ModulesBody>, Refusal> {
    own(&app, &caller, &path).await?;
    Ok(Json(ModulesBody { modules: Vec::new() }))
}

/// The instance that the path names, with its cluster.
async fn own(app: &App, caller: &Caller, path: &Segments) -> Result<(Cluster, Instance), Refusal> {
    let id = path.instance()?;
    app.store().instance(caller.project(), id).await?.ok_or_else(|| Refusal::no_resource(id))
}
