//! `/mgmt/quotas/{project}`: what a project may have and has, and how an admin changes that.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use redtrove_core::{Fault, ProjectId};
use redtrove_engine::ports::Resource;

use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::path::{Segments, shown};
use crate::wire::{Object, QuotaView, QuotasAsk, QuotasBody, QuotasSetBody};

/// What a project may have and has: the caller's own, or for an admin any.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/mgmt/quotas/{project}",
    tag = "mgmt",
    operation_id = "show_quotas",
    params(("project" = String, Path, description = "The project that is asked about.", example = "demo")),
    responses((status = 200, body = QuotasBody))
)]
pub(crate) async fn show(State(app): State<App>, caller: Caller, path: Segments) -> Result<Json<QuotasBody>, Refusal> {
    let project = named(&path)?;
    if project != *caller.project() && !caller.is_admin() {
        let message = format!("Operation not allowed for tenant {}.", caller.project());
        return Err(Fault::forbidden(message).into());
    }
    let usages = app.store().usages(&project).await?;
    let quotas = usages.iter().map(|usage| QuotaView {
        resource: usage.resource.name(),
        in_use: usage.in_use,
        reserved: 0,
        limit: usage.limit(app.limits()),
    });
    Ok(Json(QuotasBody { quotas: quotas.collect() }))
}

/// Gives a project limits of its own. Null takes one away, so that the installation's counts again. A limit below what is
/// in use takes nothing away; it only lets nothing be added.
#[utoipa::path(
    put,
    path = "/v1.0/{project_id}/mgmt/quotas/{project}",
    tag = "mgmt",
    operation_id = "change_quotas",
    params(("project" = String, Path, description = "The project whose limits are changed.", example = "demo")),
    request_body = QuotasAsk,
    responses((status = 200, body = QuotasSetBody, description = "The limits that were named, as they are now."))
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    path: Segments,
    JsonBody(QuotasAsk { quotas: Object(asked) }): JsonBody<QuotasAsk>,
) -> Result<Json<QuotasSetBody>, Refusal> {
    let project = named(&path)?;
    let named = [(Resource::Instances, asked.instances), (Resource::Volumes, asked.volumes)];
    let named = named.into_iter().filter_map(|(resource, limit)| Some((resource, limit?.map(|limit| limit.0))));
    let limits: BTreeMap<Resource, Option<i64>> = named.collect();
    if limits.is_empty() {
        return Err(Fault::bad_request("Validation error: quotas: must name instances or volumes").into());
    }
    app.store().put_limits(&project, &limits).await?;
    tracing::info!(
        project.id = %project,
        user.id = caller.identity.user,
        "user {} gave project {project} other limits: {limits:?}",
        caller.identity.user
    );
    let now = limits.iter().map(|(resource, limit)| (resource.name(), limit.unwrap_or(app.limits().of(*resource))));
    Ok(Json(QuotasSetBody { quotas: now.collect() }))
}

fn named(path: &Segments) -> Result<ProjectId, Refusal> {
    let text = path.get("project");
    text.parse().map_err(|_| Refusal::no_resource(shown(text)))
}
