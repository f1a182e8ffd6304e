//! `POST /clusters/{id}`, which every client uses, and `POST /clusters/{id}/action`, which the blueprint names.

use axum::extract::State;
use redtrove_core::{ClusterId, Fault};
use serde_json::Value;

use super::{grow, reached, reset, shrink};
use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::once::{Answer, Key, Once};
use crate::path::{Segments, shown};
use crate::wire::{Action, ActionAsk};

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
    request_body(content = Action, description = "One key, the action.",
        example = json!({"grow": [{"flavorRef": "1", "volume": {"size": 2}}]})),
    responses(
        (status = 202, description = "Accepted. A grow is answered with a ClusterBody, the cluster with its new members; \
            everything else is answered without a body, which is why none is declared here."),
        (status = 403, description = "Slots are assigned to a leaver, an instance without flavor, another project, policy."),
        (status = 404, description = "The cluster, an instance of it, a flavor or a module is not found."),
        (status = 413, description = "A quota, the largest volume or the longest body is exceeded."),
        (status = 501, description = "This installation does not do that."),
    )
)]
pub(crate) async fn act(
    state: State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
    body: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    decide(state, caller, links, path, body).await
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
    request_body(content = Action, description = "One key, the action.",
        example = json!({"grow": [{"flavorRef": "1", "volume": {"size": 2}}]})),
    responses(
        (status = 202, description = "Accepted. A grow is answered with a ClusterBody, the cluster with its new members; \
            everything else is answered without a body, which is why none is declared here."),
        (status = 403, description = "Slots are assigned to a leaver, an instance without flavor, another project, policy."),
        (status = 404, description = "The cluster, an instance of it, a flavor or a module is not found."),
        (status = 413, description = "A quota, the largest volume or the longest body is exceeded."),
        (status = 501, description = "This installation does not do that."),
    )
)]
pub(crate) async fn act_at_action(
    state: State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
    body: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    decide(state, caller, links, path, body).await
}

async fn decide(
    State(app): State<App>,
    caller: Caller,
    links: Links,
    path: Segments,
    Once { body, key }: Once<ActionAsk>,
) -> Result<Answer, Refusal> {
    let (action, wanted) = only_one(body)?;
    if let Some(first) = key.first(&app).await? {
        return shrink::again(&app, &key, first).await;
    }
    match carry_out(&app, &caller, links, path.cluster(), &key, &action, wanted).await {
        // The cluster may be busy with just this request, which came a moment before.
        Err(refusal) => match key.first(&app).await? {
            Some(first) => shrink::again(&app, &key, first).await,
            None => Err(refusal),
        },
        answer => answer,
    }
}

/// What is malformed is told before anything is looked up, as Trove does.
async fn carry_out(
    app: &App,
    caller: &Caller,
    links: Links,
    id: Result<ClusterId, Refusal>,
    key: &Key,
    action: &str,
    wanted: Value,
) -> Result<Answer, Refusal> {
    match action {
        "grow" => {
            let (wanted, (cluster, _)) = (grow::read(wanted)?, reached(app, caller, id?).await?);
            grow::grow(app, caller, links, key, &cluster, wanted).await
        }
        "shrink" => {
            let (leavers, (cluster, _)) = (shrink::read(wanted)?, reached(app, caller, id?).await?);
            shrink::shrink(app, caller, key, &cluster, leavers).await
        }
        "reset-status" => {
            let (cluster, _) = reached(app, caller, id?).await?;
            caller.require(reset::rule(&wanted))?;
            reset::reset(app, caller, key, &cluster).await
        }
        _ => {
            reached(app, caller, id?).await?;
            Err(unsupported(action))
        }
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
