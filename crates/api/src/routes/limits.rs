//! `GET /limits`: what a project may have.

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::wire::{Absolute, LimitsBody};

/// What the project may have.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/limits",
    tag = "limits",
    operation_id = "list_limits",
    responses((status = 200, body = LimitsBody))
)]
pub(crate) async fn list(State(app): State<App>) -> Json<LimitsBody> {
    let limits = app.limits();
    let absolute =
        Absolute { verb: "ABSOLUTE", max_instances: limits.instances, max_volumes: limits.volumes_gb, max_backups: 0 };
    Json(LimitsBody { limits: vec![absolute] })
}
