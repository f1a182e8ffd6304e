//! Resets: what a cluster is busy with is ended, so that the next operation may begin. Nothing here is ever stuck, so it
//! is for an operator who does not want to wait for a deadline.

use redtrove_core::cluster::Cluster;
use serde_json::Value;

use crate::app::App;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::once::{Answer, Key};
use crate::policy::Rule;

/// The rule for `reset-status`. Clients that force a delete say so in the action.
pub(super) fn rule(wanted: &Value) -> Rule {
    if wanted.get("force_delete").is_some() { Rule::ClusterForceDelete } else { Rule::ClusterResetStatus }
}

/// Ends what the cluster is busy with.
pub(crate) async fn reset(app: &App, caller: &Caller, key: &Key, cluster: &Cluster) -> Result<Answer, Refusal> {
    let (id, answer) = (cluster.id, Answer::accepted_empty());
    let kept = key.keep(&answer, None);
    let ended = match app.store().reset_cluster(&cluster.project, id, kept.as_ref()).await {
        Ok(ended) => ended,
        Err(error) => return key.settle(error, Some(id)).map(Answer::from),
    };
    if let Some(task) = ended {
        tracing::info!(
            cluster.id = %id,
            task.id = %task,
            user.id = caller.identity.user,
            "cluster {id} was reset by user {}: task {task} ends",
            caller.identity.user
        );
    }
    Ok(answer)
}
