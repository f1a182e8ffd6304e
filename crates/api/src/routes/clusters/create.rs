//! `POST /clusters`.

use axum::extract::State;
use redtrove_core::request::{CreateCluster, Offer};
use redtrove_engine::submit::Creation;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::once::{Answer, Once};
use crate::view::{Viewer, begun};
use crate::wire::{ClusterBody, CreateAsk};

/// Makes a cluster. The answer comes as soon as the request is on disk; the cluster is built behind it.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters",
    tag = "clusters",
    operation_id = "create_cluster",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "Makes the request one that may be sent again: it has one effect and one answer for a day.")),
    request_body(content = CreateAsk, example = json!({"cluster": {
        "name": "redis-clstr",
        "datastore": {"type": "redis", "version": "7.0"},
        "instances": [{"flavorRef": "1", "volume": {"size": 2}}, {"flavorRef": "1", "volume": {"size": 2}}],
    }})),
    responses(
        (status = 202, body = ClusterBody, description = "Accepted: the cluster is being built."),
        (status = 403, description = "An instance without flavor, a flavor without local storage, another project, policy."),
        (status = 404, description = "Flavor, datastore, version or module not found."),
        (status = 413, description = "A quota, the largest volume or the longest body is exceeded."),
        (status = 422, description = "The Idempotency-Key came before, with another body."),
        (status = 501, description = "Clusters, or volumes, are switched off."),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    Once { body, key }: Once<CreateAsk>,
) -> Result<Answer, Refusal> {
    if let Some(first) = key.first(&app).await? {
        return Ok(first.into());
    }
    let wanted = check(&app, body).await?;
    let asker = caller.asker(&app, caller.project().clone());
    let creation = Creation::plan(app.store(), app.clock(), &asker, &wanted, app.limits())
        .await
        .map_err(|error| Refusal::of_submission(error, None))?;
    let (cluster, members) = creation.rows();
    let viewer = Viewer::new(&app, links).at(cluster.created);
    let shown = viewer.cluster_view(&cluster, &members, begun(&cluster));
    let answer = Answer::accepted(&ClusterBody { cluster: shown })?;
    let kept = key.keep(&answer, cluster.operation);
    let wake = match creation.submit(app.store(), kept).await {
        Ok(wake) => wake,
        Err(error) => return key.settle(error, None).map(Answer::from),
    };
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
    Ok(answer)
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
