//! What Trove does to single instances. All of ours are members of clusters, and those change only with their cluster.

use axum::extract::State;
use redtrove_core::{Fault, FaultKind};

use super::own;
use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::path::Segments;

/// Acts on an instance by itself: not supported for members of clusters.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/instances/{instance_id}",
    tag = "instances",
    operation_id = "act_on_instance",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 501, description = "Members of clusters change only with their cluster."))
)]
pub(crate) async fn act(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path).await
}

/// The same, at the path that Trove has: not supported for members of clusters.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/instances/{instance_id}/action",
    tag = "instances",
    operation_id = "act_on_instance_at_action",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 501, description = "Members of clusters change only with their cluster."))
)]
pub(crate) async fn act_at_action(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path).await
}

/// Replaces the settings of an instance by itself: not supported for members of clusters.
#[utoipa::path(
    put,
    path = "/v1.0/{project_id}/instances/{instance_id}",
    tag = "instances",
    operation_id = "update_instance",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 501, description = "Members of clusters change only with their cluster."))
)]
pub(crate) async fn update(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path).await
}

/// Changes the settings of an instance by itself: not supported for members of clusters.
#[utoipa::path(
    patch,
    path = "/v1.0/{project_id}/instances/{instance_id}",
    tag = "instances",
    operation_id = "edit_instance",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 501, description = "Members of clusters change only with their cluster."))
)]
pub(crate) async fn edit(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path).await
}

/// Deletes an instance by itself: not supported for members of clusters.
#[utoipa::path(
    delete,
    path = "/v1.0/{project_id}/instances/{instance_id}",
    tag = "instances",
    operation_id = "delete_instance",
    params(("instance_id" = uuid::Uuid, Path, description = "The id of the instance.", example = "416b0b16-ba55-4302-bbd3-ff566032e1c1")),
    responses((status = 501, description = "Members of clusters change only with their cluster."))
)]
pub(crate) async fn delete(state: State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    refuse(state, caller, path).await
}

async fn refuse(State(app): State<App>, caller: Caller, path: Segments) -> Result<(), Refusal> {
    own(&app, &caller, &path).await?;
    let message = "Operation not supported for instances that are part of a cluster.";
    Err(Fault::new(FaultKind::NotImplemented, message).into())
}
