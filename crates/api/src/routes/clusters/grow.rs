//! The action `grow`: members are added, empty masters without slots.

use std::sync::Arc;

use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;
use redtrove_core::request::{GrowCluster, Offer, WantedMember};
use redtrove_engine::ports::{Body, LateAnswer};
use redtrove_engine::submit;
use serde_json::{Value, json};

use super::check_free;
use crate::app::App;
use crate::body::interpret;
use crate::caller::Caller;
use crate::fault::Refusal;
use crate::links::Links;
use crate::once::{Answer, Key};
use crate::view::{Viewer, begun};
use crate::wire::{ClusterBody, GrowAsk, Object};

/// Reads what belongs to the action.
pub(super) fn read(wanted: Value) -> Result<Vec<WantedMember>, Refusal> {
    let GrowAsk { grow } = interpret(json!({ "grow": wanted }))?;
    Ok(grow.into_iter().map(|Object(instance)| instance.into()).collect())
}

/// Adds members to the cluster. The answer has the new ones only.
pub(super) async fn grow(
    app: &App,
    caller: &Caller,
    links: Links,
    key: &Key,
    cluster: &Cluster,
    wanted: Vec<WantedMember>,
) -> Result<Answer, Refusal> {
    check_free(cluster)?;
    let wanted = check(app, wanted).await?;
    let viewer = Viewer::new(app, links).at(app.store().now().await?);
    let late = key.open().map(|key| LateAnswer { key, status: 202, body: written_by(&viewer) });
    let asker = caller.asker(app, cluster.project.clone());
    let taken = submit::grow(app.store(), app.clock(), &asker, cluster.id, &wanted, app.limits(), late).await;
    let (wake, grown, joiners) = match taken {
        Ok(taken) => taken,
        Err(error) => return key.settle(error, Some(cluster.id)).map(Answer::from),
    };
    tracing::info!(
        cluster.id = %wake.cluster,
        task.id = %wake.task,
        project.id = %asker.project,
        members = joiners.len(),
        "cluster {} is to grow by {} members: task {}",
        wake.cluster,
        joiners.len(),
        wake.task
    );
    app.announce(wake);
    Answer::accepted(&shown(&viewer, &grown, &joiners))
}

fn shown(viewer: &Viewer, cluster: &Cluster, joiners: &[Instance]) -> ClusterBody {
    ClusterBody { cluster: viewer.cluster_view(cluster, joiners, begun(cluster)) }
}

/// The same body once more, made while the rows are written, to be kept with them.
fn written_by(viewer: &Viewer) -> Body {
    let viewer = viewer.clone();
    Arc::new(move |cluster, joiners| serde_json::to_string(&shown(&viewer, cluster, joiners)).unwrap_or_default())
}

async fn check(app: &App, wanted: Vec<WantedMember>) -> Result<GrowCluster, Refusal> {
    let flavors = app.store().flavors().await?;
    let config = app.config();
    let offer = Offer {
        datastores: &[],
        flavors: &flavors,
        cluster_support: config.redis.cluster_support,
        volume_support: config.redis.volume_support,
        max_volume_gb: config.quota.max_accepted_volume_size,
    };
    Ok(GrowCluster::check(wanted, &offer)?)
}
