//! `POST /clusters/{id}`, which every client uses, and `POST /clusters/{id}/action`, which the blueprint names.

use axum::extract::State;
use axum::http::StatusCode;
use redtrove_core::cluster::ClusterTask;
use redtrove_core::{Fault, FaultKind};
use redtrove_engine::ports::SubmitError;

use super::own;
use crate::app::App;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::path::{Segments, shown};
use crate::wire::ActionAsk;

/// The actions of Trove's API, and whether a cluster has to be ready for the next operation to be asked for one.
const KNOWN: [(&str, bool); 8] = [
    ("grow", true),
    ("shrink", true),
    ("upgrade", true),
    ("restart", true),
    ("add_shard", true),
    ("configuration_attach", true),
    ("configuration_detach", true),
    ("reset-status", false),
];

/// Acts on a cluster: the body's only key is the action.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters/{cluster_id}",
    tag = "clusters",
    operation_id = "act_on_cluster",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.")),
    request_body = BTreeMap<String, serde_json::Value>,
    responses((status = 501, description = "This installation does not have the action."))
)]
pub(crate) async fn act(
    state: State<App>,
    caller: Caller,
    path: Segments,
    body: JsonBody<ActionAsk>,
) -> Result<StatusCode, Refusal> {
    decide(state, caller, path, body).await
}

/// The same, at the blueprint's path.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters/{cluster_id}/action",
    tag = "clusters",
    operation_id = "act_on_cluster_at_action",
    params(("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.")),
    request_body = BTreeMap<String, serde_json::Value>,
    responses((status = 501, description = "This installation does not have the action."))
)]
pub(crate) async fn act_at_action(
    state: State<App>,
    caller: Caller,
    path: Segments,
    body: JsonBody<ActionAsk>,
) -> Result<StatusCode, Refusal> {
    decide(state, caller, path, body).await
}

async fn decide(
    State(app): State<App>,
    caller: Caller,
    path: Segments,
    JsonBody(ActionAsk(body)): JsonBody<ActionAsk>,
) -> Result<StatusCode, Refusal> {
    let mut actions = body.keys();
    let (Some(action), None) = (actions.next(), actions.next()) else {
        return Err(Fault::bad_request("Action request should have exactly one action specified in body").into());
    };
    let (cluster, _) = own(&app, &caller, path.cluster()?).await?;
    let Some((name, when_ready)) = KNOWN.iter().find(|(name, _)| name == action) else {
        return Err(Fault::bad_request(format!("Action {} not supported", shown(action))).into());
    };
    if *when_ready && cluster.task != ClusterTask::None {
        return Err(Refusal::of_submission(SubmitError::Busy(cluster.task), Some(cluster.id)));
    }
    let message = format!("The action '{name}' is not implemented.");
    Err(Fault::new(FaultKind::NotImplemented, message).into())
}
