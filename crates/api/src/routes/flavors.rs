//! Flavors: what the compute provider has, as the taskmanager last published it.

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::fault::Refusal;
use crate::links::Links;
use crate::path::{Segments, shown};
use crate::view::Viewer;
use crate::wire::{FlavorBody, FlavorsBody};

/// Every flavor.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/flavors",
    tag = "flavors",
    operation_id = "list_flavors",
    responses((status = 200, body = FlavorsBody))
)]
pub(crate) async fn list(State(app): State<App>, links: Links) -> Result<Json<FlavorsBody>, Refusal> {
    let (viewer, flavors) = (Viewer::new(&app, links), app.store().flavors().await?);
    Ok(Json(FlavorsBody { flavors: flavors.iter().map(|flavor| viewer.flavor(flavor)).collect() }))
}

/// One flavor. The answer to an unknown id has to be 404: clients then look for a name.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/flavors/{flavor_id}",
    tag = "flavors",
    operation_id = "show_flavor",
    params(("flavor_id" = String, Path, description = "The id of the flavor.", example = "2")),
    responses((status = 200, body = FlavorBody))
)]
pub(crate) async fn show(State(app): State<App>, links: Links, path: Segments) -> Result<Json<FlavorBody>, Refusal> {
    let wanted = path.get("flavor_id");
    let flavors = app.store().flavors().await?;
    let found = flavors.iter().find(|flavor| flavor.id == wanted);
    let found = found.ok_or_else(|| Refusal::no_resource(shown(wanted)))?;
    Ok(Json(FlavorBody { flavor: Viewer::new(&app, links).flavor(found) }))
}
