//! `DELETE /clusters/{id}`.

use axum::extract::State;
use axum::http::StatusCode;
use redtrove_engine::submit;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::path::Segments;

/// Deletes a cluster, whatever it is busy with. Asking again while the delete is under way changes nothing.
#[utoipa::path(
    delete,
    path = "/v1.0/{project_id}/clusters/{cluster_id}",
    tag = "clusters",
    operation_id = "delete_cluster",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224")),
    responses((status = 202, description = "Accepted: the cluster is being deleted."))
)]
pub(crate) async fn delete(State(app): State<App>, caller: Caller, path: Segments) -> Result<StatusCode, Refusal> {
    let cluster = path.cluster()?;
    let asker = caller.asker(&app, super::owner(&app, &caller, cluster).await?);
    let wake = submit::delete(app.store(), app.clock(), &asker, cluster)
        .await
        .map_err(|error| Refusal::of_submission(error, Some(cluster)))?;
    if let Some(wake) = wake {
        let task = wake.task;
        app.announce(wake);
        tracing::info!(
            cluster.id = %cluster,
            task.id = %task,
            project.id = %asker.project,
            "cluster {cluster} is to be deleted: task {task}"
        );
    }
    Ok(StatusCode::ACCEPTED)
}
