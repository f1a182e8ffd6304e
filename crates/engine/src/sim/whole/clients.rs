//! Clients of the API: they create, grow, shrink, reset and delete clusters, and ask again when they are not answered.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::catalogue::Flavor;
use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::request::{CreateCluster, GrowCluster, Label, Offer, ShrinkCluster, WantedCluster, WantedMember};
use redtrove_core::{ClusterId, InstanceId, RequestId};
use tokio::time::{sleep, timeout};

use super::Stage;
use crate::World;
use crate::ports::{KeptAnswer, LateAnswer, Limits, RequestKey, StoreError, SubmitError, WakeUp};
use crate::sim::clock::Chance;
use crate::submit::{self, Asker, Creation};

/// How long a task may take.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(300);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the API waits for a verdict.
const VERDICT_WITHIN: Duration = Duration::from_secs(9);
/// The most clusters that a client has at a time.
const CLUSTERS: usize = 3;
/// What a project may have.
const LIMITS: Limits = Limits { instances: 12, volumes_gb: -1 };

/// What became of a request.
#[derive(Debug)]
enum Answer {
    /// It was taken, or it was refused for good: no reason to ask again.
    Final,
    /// 503, or none at all.
    Unknown,
}

pub(super) fn asker(world: &World, client: usize) -> Option<Asker> {
    let project = format!("project-{client}").parse().ok()?;
    let request = RequestId::new(world.clock.random_id());
    Some(Asker { project, request, traceparent: None, time_limit: TIME_LIMIT })
}

/// Asks for something now and then, until the story is over.
pub(super) async fn run(stage: Arc<Stage>, client: usize, mut chance: Chance) {
    let busy = chance.between(Duration::from_secs(5), Duration::from_secs(60));
    let mut count = 0;
    loop {
        sleep(chance.between(Duration::from_millis(100), busy)).await;
        if stage.is_over() {
            return;
        }
        count += 1;
        ask_for_something(&stage, client, count, &mut chance).await;
    }
}

async fn ask_for_something(stage: &Arc<Stage>, client: usize, count: usize, chance: &mut Chance) {
    let Some(clusters) = list(stage, client, chance).await else { return };
    let chosen = clusters.get(chance.below(clusters.len()));
    let key = chance.happens(700).then(|| RequestKey { id: format!("{client}-{count}"), body: String::new() });
    let what = match chosen {
        Some(_) if clusters.len() >= CLUSTERS || chance.happens(750) => chance.below(100),
        _ => 100,
    };
    let name = format!("c{client}-{count}");
    for _ in 0..3 {
        let Some(api) = stage.api(chance) else { return };
        let Some(asker) = asker(&api.world, client) else { return };
        let request = Request { stage, world: &api.world, asker: &asker };
        let asked = async {
            match (what, chosen) {
                (0..35, Some((cluster, _))) => request.grow(cluster.id, 1 + count % 2, key.clone(), chance).await,
                (35..70, Some((cluster, members))) => request.shrink(cluster.id, members, key.clone(), chance).await,
                (70..78, Some((cluster, _))) => request.reset(cluster.id).await,
                (78..100, Some((cluster, _))) => request.delete(cluster.id, chance).await,
                // Without a key, a client that is not answered does not know what it has.
                _ => request.create(&name, 1 + count % 4, key.clone(), chance).await,
            }
        };
        match timeout(PATIENCE, asked).await {
            Ok(Answer::Final) => return,
            Ok(Answer::Unknown) | Err(_) if key.is_none() && what >= 100 => return,
            Ok(Answer::Unknown) | Err(_) => sleep(chance.between(Duration::ZERO, Duration::from_secs(5))).await,
        }
    }
}

async fn list(stage: &Stage, client: usize, chance: &mut Chance) -> Option<Vec<(Cluster, Vec<Instance>)>> {
    let api = stage.api(chance)?;
    let asker = asker(&api.world, client)?;
    timeout(PATIENCE, api.world.store.clusters(&asker.project, None, 100)).await.ok()?.ok()
}

/// One request, as an api carries it out.
struct Request<'a> {
    stage: &'a Arc<Stage>,
    world: &'a World,
    asker: &'a Asker,
}

fn flavor() -> Flavor {
    Flavor { id: "1".to_owned(), name: "tiny".to_owned(), ram: 512, vcpus: 1, disk: 1, ephemeral: 0 }
}

fn wanted(members: usize) -> Vec<WantedMember> {
    let member = WantedMember { flavor: Some("1".to_owned()), volume_gb: Some(2), ..WantedMember::default() };
    vec![member; members]
}

impl Request<'_> {
    fn offer<'a>(&'a self, flavors: &'a [Flavor]) -> Offer<'a> {
        let datastores = &self.stage.datastores;
        Offer { datastores, flavors, cluster_support: true, volume_support: true, max_volume_gb: -1 }
    }

    fn settle<T>(&self, what: &'static str, asked: Result<T, SubmitError>) -> Result<T, Answer> {
        let outcome = match &asked {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
        let request = &self.asker.request;
        self.stage.happened(what, || format!("{} asks for {what}, {request}: {outcome}", self.asker.project));
        asked.map_err(|error| match error {
            SubmitError::Store(StoreError::Unavailable(_)) => Answer::Unknown,
            _ => Answer::Final,
        })
    }

    /// Publishes what was taken, unless the api dies first.
    fn wake(&self, wake: &WakeUp, chance: &mut Chance) {
        let (task, cluster, request) = (wake.task, wake.cluster, &wake.request);
        self.stage.happened("task", || format!("{request} is task {task}: {} of {cluster}", wake.kind));
        if chance.happens(900) {
            self.stage.publish(wake, chance);
        }
    }

    async fn create(&self, name: &str, members: usize, key: Option<RequestKey>, chance: &mut Chance) -> Answer {
        let flavors = [flavor()];
        let (Ok(label), Ok(datastore)) = (Label::try_from(name.to_owned()), Label::try_from("redis".to_owned())) else {
            return Answer::Final;
        };
        let wanted = WantedCluster {
            name: label,
            datastore,
            version: None,
            members: wanted(members),
            locality: None,
            configuration: false,
        };
        let Ok(wanted) = CreateCluster::check(wanted, &self.offer(&flavors)) else { return Answer::Final };
        let asked = async {
            let World { store, clock, .. } = self.world;
            let creation = Creation::plan(&**store, &**clock, self.asker, &wanted, LIMITS).await?;
            let answer = key.map(|key| KeptAnswer { key, status: Some(202), body: String::new(), task: None });
            creation.submit(&**store, answer).await
        };
        match self.settle("a cluster", asked.await) {
            Ok(wake) => self.wake(&wake, chance),
            Err(answer) => return answer,
        }
        Answer::Final
    }

    async fn grow(&self, cluster: ClusterId, joiners: usize, key: Option<RequestKey>, chance: &mut Chance) -> Answer {
        let flavors = [flavor()];
        let Ok(wanted) = GrowCluster::check(wanted(joiners), &self.offer(&flavors)) else { return Answer::Final };
        let answer = key.map(|key| LateAnswer { key, status: 202, body: Arc::new(|_, _| String::new()) });
        let World { store, clock, .. } = self.world;
        let asked = submit::grow(&**store, &**clock, self.asker, cluster, &wanted, LIMITS, answer).await;
        match self.settle("a grow", asked) {
            Ok((wake, _, _)) => self.wake(&wake, chance),
            Err(answer) => return answer,
        }
        Answer::Final
    }

    async fn shrink(
        &self,
        cluster: ClusterId,
        members: &[Instance],
        key: Option<RequestKey>,
        chance: &mut Chance,
    ) -> Answer {
        let mut leavers: Vec<InstanceId> =
            members.iter().filter(|member| member.lifecycle != Lifecycle::Complete).map(|member| member.id).collect();
        let idle = self.stage.members_without_slots(members);
        leavers.extend(idle.into_iter().filter(|_| chance.happens(700)));
        if leavers.is_empty() || chance.happens(200) {
            leavers.extend(members.get(chance.below(members.len())).map(|member| member.id));
        }
        let Ok(wanted) = ShrinkCluster::check(&leavers) else { return Answer::Final };
        let World { store, clock, .. } = self.world;
        let asked = submit::shrink(&**store, &**clock, self.asker, cluster, &wanted, VERDICT_WITHIN, key).await;
        match self.settle("a shrink", asked) {
            Ok(wake) => {
                self.wake(&wake, chance);
                let verdict = submit::await_verdict(&**store, wake.task, VERDICT_WITHIN).await;
                self.stage.happened("verdict", || format!("the verdict on task {}: {verdict:?}", wake.task));
                Answer::Final
            }
            Err(answer) => answer,
        }
    }

    async fn reset(&self, cluster: ClusterId) -> Answer {
        let asked = self.world.store.reset_cluster(&self.asker.project, cluster, None).await;
        match self.settle("a reset", asked) {
            Ok(_) => Answer::Final,
            Err(answer) => answer,
        }
    }

    async fn delete(&self, cluster: ClusterId, chance: &mut Chance) -> Answer {
        let World { store, clock, .. } = self.world;
        match self.settle("a delete", submit::delete(&**store, &**clock, self.asker, cluster).await) {
            Ok(wake) => {
                if let Some(wake) = wake {
                    self.wake(&wake, chance);
                }
                Answer::Final
            }
            Err(answer) => answer,
        }
    }
}

/// Whether a cluster is busy with nothing.
pub(super) fn is_idle(cluster: &Cluster) -> bool {
    cluster.task == ClusterTask::None && cluster.operation.is_none()
}
