//! Types of volume: the compute provider names none yet.

use axum::Json;

use crate::fault::Refusal;
use crate::path::{Segments, shown};
use crate::wire::VolumeTypesBody;

/// Every type of volume: there are none to choose from.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/volume-types",
    tag = "volume-types",
    operation_id = "list_volume_types",
    responses((status = 200, body = VolumeTypesBody))
)]
pub(crate) async fn list() -> Json<VolumeTypesBody> {
    Json(VolumeTypesBody { volume_types: Vec::new() })
}

/// One type of volume: not found.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/volume-types/{volume_type}",
    tag = "volume-types",
    operation_id = "show_volume_type",
    params(("volume_type" = String, Path, description = "The id of the type of volume.")),
)]
pub(crate) async fn show(path: Segments) -> Refusal {
    Refusal::no_resource(shown(path.get("volume_type")))
}
