//! `/mgmt/clusters`: the clusters of all projects, deleted ones too.

use axum::Json;
use axum::extract::State;
use redtrove_core::ClusterId;
use redtrove_engine::ports::OperatorCluster;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::once::{Answer, Once};
use crate::paging::{Limit, Paging};
use crate::path::Segments;
use crate::routes::clusters::{action, reset};
use crate::view::{self, Viewer};
use crate::wire::{ActionAsk, OperatorAction, OperatorClusterBody, OperatorClustersBody};

/// The clusters of all projects, in the order of their ids.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/mgmt/clusters",
    tag = "mgmt",
    operation_id = "list_all_clusters",
    params(
        ("deleted" = Option<bool>, Query, description = "Those that are deleted, or those that are not; both without."),
        ("limit" = Option<Limit>, Query, description = "The most entries in the answer.", example = 20),
        ("marker" = Option<uuid::Uuid>, Query, description = "The last id of the page before."),
    ),
    responses((status = 200, body = OperatorClustersBody))
)]
pub(crate) async fn list(
    State(app): State<App>,
    links: Links,
    paging: Paging,
) -> Result<Json<OperatorClustersBody>, Refusal> {
    let (viewer, after) = (Viewer::new(&app, links), paging.marker()?);
    let mut found = app.store().operator_clusters(paging.choice("deleted")?, after, paging.look_for()).await?;
    let links = paging.cut(&mut found, viewer.links(), |found| found.cluster.id);
    let clusters = found.iter().map(|found| viewer.operator_cluster_item(found)).collect();
    Ok(Json(OperatorClustersBody { clusters, links }))
}

/// One cluster of any project, deleted or not.
#[utoipa::path(
    get,
    path = "/v1.0/{project_id}/mgmt/clusters/{cluster_id}",
    tag = "mgmt",
    operation_id = "show_any_cluster",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224")),
    responses((status = 200, body = OperatorClusterBody))
)]
pub(crate) async fn show(
    State(app): State<App>,
    links: Links,
    path: Segments,
) -> Result<Json<OperatorClusterBody>, Refusal> {
    let found = known(&app, path.cluster()?).await?;
    let task = match found.cluster.operation {
        Some(task) => app.store().task(task).await?,
        None => None,
    };
    let viewer = Viewer::new(&app, links).at_present(&app, &found.instances).await?;
    let operation = task.as_ref().and_then(view::operation);
    Ok(Json(OperatorClusterBody { cluster: viewer.operator_cluster_view(&found, operation) }))
}

/// Ends what a cluster is busy with: the only key of the body is `reset-task`.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/mgmt/clusters/{cluster_id}/action",
    tag = "mgmt",
    operation_id = "act_on_any_cluster",
    params(
        ("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Makes the request one that may be sent again: it has one effect and one answer for a day."),
    ),
    request_body(content = OperatorAction, description = "One key: reset-task.", example = json!({"reset-task": {}})),
    responses((status = 202, description = "Accepted: the cluster's task is NONE."))
)]
pub(crate) async fn act(
    State(app): State<App>,
    caller: Caller,
    path: Segments,
    Once { body, key }: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    if let Some(first) = key.first(&app).await? {
        return Ok(first.into());
    }
    let (name, _) = action::only_one(body)?;
    let found = known(&app, path.cluster()?).await?;
    if found.deleted_at.is_some() {
        return Err(Refusal::no_cluster(found.cluster.id));
    }
    if name != "reset-task" {
        return Err(action::unsupported(&name));
    }
    reset::reset(&app, &caller, &key, &found.cluster).await
}

async fn known(app: &App, id: ClusterId) -> Result<OperatorCluster, Refusal> {
    app.store().operator_cluster(id).await?.ok_or_else(|| Refusal::no_cluster(id))
}
