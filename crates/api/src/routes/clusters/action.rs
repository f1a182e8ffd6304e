//! `POST /clusters/{id}`, which every client uses, and `POST /clusters/{id}/action`, which the blueprint names.

use axum::extract::State;
use redtrove_core::Fault;
use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_engine::ports::SubmitError;
use serde_json::Value;

use super::{reached, reset};
use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::once::{Answer, Once};
use crate::path::{Segments, shown};
use crate::wire::ActionAsk;

/// Acts on a cluster: the body's only key is the action.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters/{cluster_id}",
    tag = "clusters",
    operation_id = "act_on_cluster",
    params(
        ("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Makes the request one that may be sent again: it has one effect and one answer for a day."),
    ),
    request_body(content = BTreeMap<String, serde_json::Value>, example = json!({"reset-status": {}})),
    responses(
        (status = 202, description = "Accepted."),
        (status = 501, description = "This installation does not do that."),
    )
)]
pub(crate) async fn act(
    state: State<App>,
    caller: Caller,
    path: Segments,
    body: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    decide(state, caller, path, body).await
}

/// The same, at the blueprint's path.
#[utoipa::path(
    post,
    path = "/v1.0/{project_id}/clusters/{cluster_id}/action",
    tag = "clusters",
    operation_id = "act_on_cluster_at_action",
    params(
        ("cluster_id" = uuid::Uuid, Path, description = "The id of the cluster.", example = "edaac9ca-b5e1-4028-adb7-fa7653e11224"),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "Makes the request one that may be sent again: it has one effect and one answer for a day."),
    ),
    request_body(content = BTreeMap<String, serde_json::Value>, example = json!({"reset-status": {}})),
    responses(
        (status = 202, description = "Accepted."),
        (status = 501, description = "This installation does not do that."),
    )
)]
pub(crate) async fn act_at_action(
    state: State<App>,
    caller: Caller,
    path: Segments,
    body: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    decide(state, caller, path, body).await
}

async fn decide(
    State(app): State<App>,
    caller: Caller,
    path: Segments,
    Once { body, key }: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    if let Some(first) = key.first(&app).await? {
        return Ok(first.into());
    }
    let (action, wanted) = only_one(body)?;
    let (cluster, _) = reached(&app, &caller, path.cluster()?).await?;
    match action.as_str() {
        "reset-status" => {
            caller.require(reset::rule(&wanted))?;
            reset::reset(&app, &caller, &key, &cluster).await
        }
        "grow" | "shrink" => {
            check_free(&cluster)?;
            let message = format!("The action '{action}' is not implemented.");
            Err(Fault::new(redtrove_core::FaultKind::NotImplemented, message).into())
        }
        _ => Err(unsupported(&action)),
    }
}

/// The action that a body asks for, and what belongs to it.
pub(crate) fn only_one(ActionAsk(body): ActionAsk) -> Result<(String, Value), Refusal> {
    let mut actions = body.into_iter();
    match (actions.next(), actions.next()) {
        (Some(action), None) => Ok(action),
        _ => Err(Fault::bad_request("Action request should have exactly one action specified in body").into()),
    }
}

/// The actions of Trove that are not here, and those that are nowhere.
pub(crate) fn unsupported(action: &str) -> Refusal {
    let message = match action {
        "restart" | "upgrade" | "configuration_attach" | "configuration_detach" => {
            format!("Action '{action}' not supported")
        }
        _ => format!("Action {} not supported", shown(action)),
    };
    Fault::bad_request(message).into()
}

/// An error unless the cluster is ready for the next operation.
fn check_free(cluster: &Cluster) -> Result<(), Refusal> {
    match cluster.task {
        ClusterTask::None => Ok(()),
        task => Err(Refusal::of_submission(SubmitError::Busy(task), Some(cluster.id))),
    }
}
