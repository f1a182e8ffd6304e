//! Submitting: from a request that cannot be invalid to rows that cannot be half written.

use std::time::Duration;

use redtrove_core::catalogue::DatastoreLabel;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;
use redtrove_core::request::{CreateCluster, GrowCluster, MOST_MEMBERS, MemberRequest, ShrinkCluster};
use redtrove_core::slots::divide;
use redtrove_core::{ClusterId, Fault, InstanceId, ProjectId, RequestId, TaskId};
use tokio::time::{Instant, sleep};

use crate::ports::{
    Clock, DeleteSubmitted, Growth, Joiner, KeptAnswer, LateAnswer, Limits, NewCluster, NewInstance, NewTask,
    RequestKey, Store, StoreError, SubmitError, WakeUp,
};
use crate::task::{Task, TaskKind, Verdict};

/// The pause between two looks for a verdict.
const VERDICT_POLL: Duration = Duration::from_millis(50);

/// Who asks, and in which request.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The project.
    pub project: ProjectId,
    /// The request.
    pub request: RequestId,
    /// The W3C trace context of the request.
    pub traceparent: Option<String>,
    /// How long what is asked for may take.
    pub time_limit: Duration,
}

impl Asker {
    /// A task on a whole cluster, whose verdict nobody waits for.
    fn task(&self, kind: TaskKind, clock: &dyn Clock) -> NewTask {
        NewTask {
            id: TaskId(clock.ordered_id()),
            kind,
            request: self.request.clone(),
            traceparent: self.traceparent.clone(),
            time_limit: self.time_limit,
            members: Vec::new(),
            verdict_within: None,
        }
    }
}

fn wake_up(cluster: ClusterId, task: &NewTask) -> WakeUp {
    WakeUp {
        task: task.id,
        cluster,
        kind: task.kind,
        request: task.request.clone(),
        traceparent: task.traceparent.clone(),
    }
}

/// A request for a cluster that is ready to be taken: how it will be shown is known before anything is written, so
/// that the answer can be kept with it.
#[derive(Debug, Clone)]
pub struct Creation {
    new: NewCluster,
    datastore: DatastoreLabel,
}

impl Creation {
    /// Plans the rows: ids, names, slots.
    pub async fn plan(
        store: &dyn Store,
        clock: &dyn Clock,
        asker: &Asker,
        wanted: &CreateCluster,
        limits: Limits,
    ) -> Result<Self, SubmitError> {
        // A request has 1 to 1000 members, so this cannot fail; if it ever does, it is not the tenant's mistake.
        let slots = divide(wanted.members().len()).map_err(|error| StoreError::Broken(error.into()))?;
        let instances = (1..).zip(wanted.members()).zip(slots).map(|((number, member), slots)| NewInstance {
            planned_slots: Some(slots),
            ..new_instance(clock, wanted.name(), number, member)
        });
        let new = NewCluster {
            id: ClusterId(clock.random_id()),
            project: asker.project.clone(),
            name: wanted.name().to_owned(),
            version: wanted.datastore().version_id,
            locality: wanted.locality(),
            instances: instances.collect(),
            created: store.now().await?,
            task: asker.task(TaskKind::CreateCluster, clock),
            limits,
            answer: None,
        };
        Ok(Self { new, datastore: wanted.datastore().clone() })
    }

    /// The cluster and its members, as they will read once it is taken.
    pub fn rows(&self) -> (Cluster, Vec<Instance>) {
        let new = &self.new;
        let cluster = Cluster {
            id: new.id,
            project: new.project.clone(),
            name: new.name.clone(),
            task: new.task.kind.cluster_task(),
            operation: Some(new.task.id),
            datastore: self.datastore.clone(),
            locality: new.locality,
            fault: None,
            slots_served: None,
            created: new.created,
            updated: new.created,
        };
        (cluster, new.instances.iter().map(|instance| instance.row(new.id, new.created)).collect())
    }

    /// Takes it, and keeps the answer if there is one to be kept. After it returns the cluster exists, with its task;
    /// what is left is to publish the wake-up, and losing that only costs time.
    pub async fn submit(mut self, store: &dyn Store, answer: Option<KeptAnswer>) -> Result<WakeUp, SubmitError> {
        self.new.answer = answer;
        store.create_cluster(&self.new).await?;
        Ok(wake_up(self.new.id, &self.new.task))
    }
}

/// A member that is to be made, without slots.
fn new_instance(clock: &dyn Clock, cluster: &str, number: u32, member: &MemberRequest) -> NewInstance {
    NewInstance {
        id: InstanceId(clock.random_id()),
        name: member_name(cluster, number),
        number,
        flavor_id: member.flavor.id.clone(),
        ram_mb: member.flavor.ram,
        volume_gb: member.volume_gb,
        placement: member.placement.clone(),
        planned_slots: None,
    }
}

/// The name of a cluster's member: Trove's `<cluster>-member-<number>`.
pub fn member_name(cluster: &str, number: u32) -> String {
    format!("{cluster}-member-{number}")
}

/// Takes a request for more members. Gives, beside the wake-up, the cluster as it is then, with the new members only.
pub async fn grow(
    store: &dyn Store,
    clock: &dyn Clock,
    asker: &Asker,
    cluster: ClusterId,
    wanted: &GrowCluster,
    limits: Limits,
    answer: Option<LateAnswer>,
) -> Result<(WakeUp, Cluster, Vec<Instance>), SubmitError> {
    let joiners: Vec<Joiner> = wanted
        .members()
        .iter()
        .map(|member| Joiner {
            id: InstanceId(clock.random_id()),
            flavor_id: member.flavor.id.clone(),
            ram_mb: member.flavor.ram,
            volume_gb: member.volume_gb,
            placement: member.placement.clone(),
        })
        .collect();
    let members = joiners.iter().map(|joiner| joiner.id).collect();
    let task = NewTask { members, ..asker.task(TaskKind::GrowCluster, clock) };
    let growth = Growth { cluster, project: asker.project.clone(), joiners, task, limits, answer };
    let (row, instances) = store.grow_cluster(&growth).await?;
    Ok((wake_up(cluster, &growth.task), row, instances))
}

/// Takes a request to remove members. Whoever asks may wait `verdict_within` for the task's verdict
/// ([`await_verdict`]). With a key, the answer is kept open until whoever asked settles it.
pub async fn shrink(
    store: &dyn Store,
    clock: &dyn Clock,
    asker: &Asker,
    cluster: ClusterId,
    wanted: &ShrinkCluster,
    verdict_within: Duration,
    key: Option<RequestKey>,
) -> Result<WakeUp, SubmitError> {
    let task = NewTask {
        members: wanted.leavers().to_vec(),
        verdict_within: Some(verdict_within),
        ..asker.task(TaskKind::ShrinkCluster, clock)
    };
    let answer = key.map(|key| KeptAnswer { key, status: None, body: String::new(), task: Some(task.id) });
    store.shrink_cluster(&asker.project, cluster, &task, answer.as_ref()).await?;
    Ok(wake_up(cluster, &task))
}

/// Waits for the verdict of a task, at most `within`: the fault if it is refused, nothing if it is accepted, if it
/// comes to no verdict in time, or if the task has ended without one. A refusal that comes later leaves its fault on
/// the cluster. A database that is away is asked again: the task is there, and its verdict may be. Whoever does not come
/// to know it in time is told no more than that, as either answer could be wrong.
pub async fn await_verdict(store: &dyn Store, task: TaskId, within: Duration) -> Result<Option<Fault>, StoreError> {
    let begun = Instant::now();
    let refused = |row: Option<Task>| row.and_then(|row| row.fault).unwrap_or_default();
    while begun.elapsed() < within {
        let row = match store.task(task).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(StoreError::Unavailable(_)) => {
                sleep(VERDICT_POLL).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        match row.verdict {
            Some(Verdict::Refused) => return Ok(Some(Fault::forbidden(refused(Some(row))))),
            Some(Verdict::Accepted) => return Ok(None),
            None if row.state.is_end() => return Ok(None),
            None => sleep(VERDICT_POLL).await,
        }
    }
    match store.waive_verdict(task).await? {
        Some(Verdict::Refused) => Ok(Some(Fault::forbidden(refused(store.task(task).await?)))),
        Some(Verdict::Accepted) | None => Ok(None),
    }
}

/// Takes a request to delete a cluster. The wake-up is absent if a delete is under way already.
pub async fn delete(
    store: &dyn Store,
    clock: &dyn Clock,
    asker: &Asker,
    cluster: ClusterId,
) -> Result<Option<WakeUp>, SubmitError> {
    let task = asker.task(TaskKind::DeleteCluster, clock);
    match store.delete_cluster(&asker.project, cluster, &task).await? {
        DeleteSubmitted::Taken => Ok(Some(wake_up(cluster, &task))),
        DeleteSubmitted::UnderWay(_) => Ok(None),
    }
}

/// The fault that a tenant sees for a submission that was not taken (contract of Trove: 404, 422, 413, 503).
pub fn fault_of(error: &SubmitError, cluster: Option<ClusterId>) -> Fault {
    use redtrove_core::FaultKind;
    match error {
        SubmitError::NotFound => Fault::not_found(match cluster {
            Some(id) => format!("Cluster '{id}' cannot be found."),
            None => "The cluster cannot be found.".to_owned(),
        }),
        SubmitError::Busy(task) => Fault::new(
            FaultKind::Unprocessable,
            format!("This action cannot be performed on the cluster while the current cluster task is '{task}'."),
        ),
        SubmitError::NoInstance(id) => Fault::not_found(format!("Instance {id} does not exist.")),
        SubmitError::LeavesNothing => {
            Fault::bad_request("Must leave at least one instance in the cluster when shrinking.")
        }
        SubmitError::TooMany(count) => {
            Fault::bad_request(format!("A cluster can have {MOST_MEMBERS} instances at most, not {count}."))
        }
        SubmitError::Quota(resources) => {
            let names: Vec<_> = resources.iter().map(|name| format!("'{name}'")).collect();
            Fault::new(FaultKind::OverLimit, format!("Quota exceeded for resources: [{}].", names.join(", ")))
        }
        // Whoever keeps answers looks for this one first; it is no trouble.
        SubmitError::Answered(_) => Fault::new(FaultKind::Conflict, "The request was answered before."),
        SubmitError::Store(StoreError::Unavailable(_)) => Fault::unavailable("The database does not answer."),
        SubmitError::Store(_) => Fault::internal("The request could not be stored."),
    }
}
