//! `POST /clusters`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use redtrove_core::request::{CreateCluster, Offer};
use redtrove_engine::submit::Creation;

use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::view::{Viewer, new_operation};
use crate::wire::{ClusterBody, CreateAsk};

/// Makes a cluster. The answer comes as soon as the request is on disk; the cluster is built behind it.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters",
    tag = "clusters",
    operation_id = "create_cluster",
    request_body = CreateAsk,
    responses((status = 202, body = ClusterBody, description = "Accepted: the cluster is being built."))
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    JsonBody(body): JsonBody<CreateAsk>,
) -> Result<(StatusCode, Json<ClusterBody>), Refusal> {
    let wanted = check(&app, body).await?;
    let (asker, time_limit) =
        (caller.asker(caller.project().clone()), app.config().api.cluster_usage_timeout.duration());
    let creation = Creation::plan(app.store(), app.clock(), &asker, &wanted, app.limits(), time_limit)
        .await
        .map_err(|error| Refusal::of_submission(error, None))?;
    let (cluster, members) = creation.rows();
    let viewer = Viewer::new(&app, links).at(cluster.created);
    let body = ClusterBody { cluster: viewer.cluster_view(&cluster, &members, Some(new_operation(creation.task()))) };
    let wake = creation.submit(app.store(), None).await.map_err(|error| Refusal::of_submission(error, None))?;
    tracing::info!(
        cluster.id = %wake.cluster,
        task.id = %wake.task,
        project.id = %caller.project(),
        members = members.len(),
        "cluster {} is asked for with {} members: task {}",
        wake.cluster,
        members.len(),
        wake.task
    );
    app.announce(wake);
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Holds the request against what is on offer now. Nothing has been written when it is refused.
async fn check(app: &App, body: CreateAsk) -> Result<CreateCluster, Refusal> {
    let (datastores, flavors) = (app.store().datastores().await?, app.store().flavors().await?);
    let config = app.config();
    let offer = Offer {
        datastores: &datastores,
        flavors: &flavors,
        cluster_support: config.redis.cluster_support,
        volume_support: config.redis.volume_support,
        max_volume_gb: config.quota.max_accepted_volume_size,
    };
    Ok(CreateCluster::check(body.into(), &offer)?)
}
