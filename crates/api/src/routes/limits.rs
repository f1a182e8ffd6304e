//! `GET /limits`: what the project may have.

use axum::Json;
use axum::extract::State;
use redtrove_engine::ports::Resource;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::wire::{Absolute, LimitsBody};

/// What the project may have.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/limits",
    tag = "limits",
    operation_id = "list_limits",
    responses((status = 200, body = LimitsBody))
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<LimitsBody>, Refusal> {
    let usages = app.store().usages(caller.project()).await?;
    let limit = |resource: Resource| {
        let usage = usages.iter().find(|usage| usage.resource == resource);
        usage.map_or(app.limits().of(resource), |usage| usage.limit(app.limits()))
    };
    let (max_instances, max_volumes) = (limit(Resource::Instances), limit(Resource::Volumes));
    let absolute = Absolute { verb: "ABSOLUTE", max_instances, max_volumes, max_backups: 0 };
    Ok(Json(LimitsBody { limits: vec![absolute] }))
}
