//! The action `shrink`: members that own no slots are removed.

use std::time::Duration;

use redtrove_core::cluster::Cluster;
use redtrove_core::request::ShrinkCluster;
use redtrove_core::{InstanceId, TaskId};
use redtrove_engine::ports::KeptAnswer;
use redtrove_engine::submit;
use serde_json::{Value, json};

use super::check_free;
use crate::app::App;
use crate::body::interpret;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::once::{Answer, Key};
use crate::wire::{Object, ShrinkAsk};

/// Reads what belongs to the action.
pub(super) fn read(wanted: Value) -> Result<Vec<InstanceId>, Refusal> {
    let ShrinkAsk { shrink } = interpret(json!({ "shrink": wanted }))?;
    Ok(shrink.into_iter().map(|Object(leaver)| leaver.id.0).collect())
}

/// Removes members from the cluster. Only their nodes know whether they own slots, and only a task may ask them: the
/// answer waits for the task's verdict, for a while.
pub(super) async fn shrink(
    app: &App,
    caller: &Caller,
    key: &Key,
    cluster: &Cluster,
    leavers: Vec<InstanceId>,
) -> Result<Answer, Refusal> {
    check_free(cluster)?;
    let wanted = ShrinkCluster::check(&leavers)?;
    let patience = app.config().api.agent_call_low_timeout.duration();
    let asker = caller.asker(app, cluster.project.clone());
    let taken = submit::shrink(app.store(), app.clock(), &asker, cluster.id, &wanted, patience, key.open()).await;
    let wake = match taken {
        Ok(wake) => wake,
        Err(error) => return again(app, key, key.settle(error, Some(cluster.id))?).await,
    };
    tracing::info!(
        cluster.id = %wake.cluster,
        task.id = %wake.task,
        project.id = %asker.project,
        members = wanted.leavers().len(),
        "cluster {} is to lose {} members: task {}",
        wake.cluster,
        wanted.leavers().len(),
        wake.task
    );
    let task = wake.task;
    app.announce(wake);
    verdict(app, key, task).await
}

/// The answer to a shrink that came before. It may still hang on the verdict.
pub(super) async fn again(app: &App, key: &Key, first: KeptAnswer) -> Result<Answer, Refusal> {
    match (first.status, first.task) {
        (None, Some(task)) => verdict(app, key, task).await.map(Answer::again),
        _ => Ok(first.into()),
    }
}

/// What the task's verdict makes of the answer.
async fn verdict(app: &App, key: &Key, task: TaskId) -> Result<Answer, Refusal> {
    let patience = app.config().api.agent_call_low_timeout.duration();
    let waited = app.stop().run_until_cancelled(submit::await_verdict(app.store(), task, patience)).await;
    let refused = match waited {
        Some(verdict) => verdict?,
        // A daemon that stops answers what is known by now.
        None => submit::await_verdict(app.store(), task, Duration::ZERO).await?,
    };
    let outcome = match refused {
        Some(refused) => Err(refused.into()),
        None => Ok(Answer::accepted_empty()),
    };
    key.settle_late(app, &outcome).await;
    outcome
}
