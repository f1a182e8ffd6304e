//! Modules: there are none, which is what clients have to hear that ask before they name one.

use axum::Json;

use crate::fault::Refusal;
use crate::path::{Segments, shown};
use crate::wire::ModulesBody;

/// Every module: there are none.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/modules",
    tag = "modules",
    operation_id = "list_modules",
    responses((status = 200, body = ModulesBody))
)]
pub(crate) async fn list() -> Json<ModulesBody> {
    Json(ModulesBody { modules: Vec::new() })
}

/// One module: not found.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/modules/{module_id}",
    tag = "modules",
    operation_id = "show_module",
    params(("module_id" = String, Path, description = "The id of the module.")),
)]
pub(crate) async fn show(path: Segments) -> Refusal {
    Refusal::no_resource(shown(path.get("module_id")))
}
