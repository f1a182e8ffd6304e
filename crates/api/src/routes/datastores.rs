//! Datastores and their versions. Only versions that clusters may be made of are shown, and only datastores that have
//! one.

use axum::Json;
use axum::extract::State;
use redtrove_core::Fault;
use redtrove_core::catalogue::{Datastore, DatastoreVersion};

use crate::app::App;
use crate::fault::Refusal;
use crate::links::Links;
use crate::path::{Segments, shown};
use crate::view::Viewer;
use crate::wire::{DatastoreBody, DatastoresBody, FlavorsBody, VersionBody, VersionsBody, VolumeTypesBody};

/// Every datastore.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores",
    tag = "datastores",
    operation_id = "list_datastores",
    responses((status = 200, body = DatastoresBody))
)]
pub(crate) async fn list(State(app): State<App>, links: Links) -> Result<Json<DatastoresBody>, Refusal> {
    let (viewer, datastores) = (Viewer::new(&app, links), on_offer(&app).await?);
    Ok(Json(DatastoresBody { datastores: datastores.iter().map(|found| viewer.datastore(found)).collect() }))
}

/// One datastore, by id or name.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores/{datastore}",
    tag = "datastores",
    operation_id = "show_datastore",
    params(("datastore" = String, Path, description = "The id or name of the datastore.", example = "redis")),
    responses((status = 200, body = DatastoreBody))
)]
pub(crate) async fn show(State(app): State<App>, links: Links, path: Segments) -> Result<Json<DatastoreBody>, Refusal> {
    let found = named(&app, &path).await?;
    Ok(Json(DatastoreBody { datastore: Viewer::new(&app, links).datastore(&found) }))
}

/// The versions of a datastore.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores/{datastore}/versions",
    tag = "datastores",
    operation_id = "list_versions",
    params(("datastore" = String, Path, description = "The id or name of the datastore.", example = "redis")),
    responses((status = 200, body = VersionsBody))
)]
pub(crate) async fn list_versions(
    State(app): State<App>,
    links: Links,
    path: Segments,
) -> Result<Json<VersionsBody>, Refusal> {
    let (viewer, found) = (Viewer::new(&app, links), named(&app, &path).await?);
    Ok(Json(VersionsBody { versions: found.versions.iter().map(|version| viewer.version(&found, version)).collect() }))
}

/// One version of a datastore, by id or name.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores/{datastore}/versions/{version}",
    tag = "datastores",
    operation_id = "show_version",
    params(
        ("datastore" = String, Path, description = "The id or name of the datastore.", example = "redis"),
        ("version" = String, Path, description = "The id or name of the version.", example = "7.0"),
    ),
    responses((status = 200, body = VersionBody))
)]
pub(crate) async fn show_version(
    State(app): State<App>,
    links: Links,
    path: Segments,
) -> Result<Json<VersionBody>, Refusal> {
    let (found, version) = named_version(&app, &path).await?;
    Ok(Json(VersionBody { version: Viewer::new(&app, links).version(&found, &version) }))
}

/// The flavors that a version runs on: every flavor.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores/{datastore}/versions/{version}/flavors",
    tag = "datastores",
    operation_id = "list_version_flavors",
    params(
        ("datastore" = String, Path, description = "The id or name of the datastore.", example = "redis"),
        ("version" = String, Path, description = "The id or name of the version.", example = "7.0"),
    ),
    responses((status = 200, body = FlavorsBody))
)]
pub(crate) async fn list_flavors(
    State(app): State<App>,
    links: Links,
    path: Segments,
) -> Result<Json<FlavorsBody>, Refusal> {
    named_version(&app, &path).await?;
    let (viewer, flavors) = (Viewer::new(&app, links), app.store().flavors().await?);
    Ok(Json(FlavorsBody { flavors: flavors.iter().map(|flavor| viewer.flavor(flavor)).collect() }))
}

/// The types of volume that a version runs on: there are none to choose from.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores/{datastore}/versions/{version}/volume-types",
    tag = "datastores",
    operation_id = "list_version_volume_types",
    params(
        ("datastore" = String, Path, description = "The id or name of the datastore.", example = "redis"),
        ("version" = String, Path, description = "The id or name of the version.", example = "7.0"),
    ),
    responses((status = 200, body = VolumeTypesBody))
)]
pub(crate) async fn list_volume_types(
    State(app): State<App>,
    path: Segments,
) -> Result<Json<VolumeTypesBody>, Refusal> {
    named_version(&app, &path).await?;
    Ok(Json(VolumeTypesBody { volume_types: Vec::new() }))
}

/// One version, by its id alone.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/datastores/versions/{version_id}",
    tag = "datastores",
    operation_id = "show_version_by_id",
    params(("version_id" = String, Path, description = "The id of the version.")),
    responses((status = 200, body = VersionBody))
)]
pub(crate) async fn show_version_by_id(
    State(app): State<App>,
    links: Links,
    path: Segments,
) -> Result<Json<VersionBody>, Refusal> {
    let wanted = path.get("version_id");
    let datastores = on_offer(&app).await?;
    let all = datastores.iter().flat_map(|found| found.versions.iter().map(move |version| (found, version)));
    let by_id = |(_, version): &(&Datastore, &DatastoreVersion)| version.id.to_string() == wanted;
    let (found, version) = all.into_iter().find(by_id).ok_or_else(|| no_version(wanted))?;
    Ok(Json(VersionBody { version: Viewer::new(&app, links).version(found, version) }))
}

async fn on_offer(app: &App) -> Result<Vec<Datastore>, Refusal> {
    let mut datastores = app.store().datastores().await?;
    for datastore in &mut datastores {
        datastore.versions.retain(|version| version.active);
    }
    datastores.retain(|datastore| !datastore.versions.is_empty());
    Ok(datastores)
}

async fn named(app: &App, path: &Segments) -> Result<Datastore, Refusal> {
    let wanted = path.get("datastore");
    let found = on_offer(app).await?.into_iter().find(|found| found.name == wanted || found.id.to_string() == wanted);
    found.ok_or_else(|| Fault::not_found(format!("Datastore '{}' cannot be found.", shown(wanted))).into())
}

async fn named_version(app: &App, path: &Segments) -> Result<(Datastore, DatastoreVersion), Refusal> {
    let found = named(app, path).await?;
    let wanted = path.get("version");
    let version = found.version(wanted).cloned().ok_or_else(|| no_version(wanted))?;
    Ok((found, version))
}

fn no_version(wanted: &str) -> Refusal {
    Fault::not_found(format!("Datastore version '{}' cannot be found.", shown(wanted))).into()
}
