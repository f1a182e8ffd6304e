//! Submitting: from a request that cannot be invalid to rows that cannot be half written.

use std::time::Duration;

use redtrove_core::request::CreateCluster;
use redtrove_core::slots::divide;
use redtrove_core::{ClusterId, Fault, InstanceId, ProjectId, RequestId, TaskId};

use crate::ports::{
    Clock, DeleteSubmitted, Limits, NewCluster, NewInstance, NewTask, Store, StoreError, SubmitError, WakeUp,
};
use crate::task::TaskKind;

/// Who asks, and in which request.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The project.
    pub project: ProjectId,
    /// The request.
    pub request: RequestId,
    /// The W3C trace context of the request.
    pub traceparent: Option<String>,
}

impl Asker {
    fn task(&self, kind: TaskKind, time_limit: Duration, clock: &dyn Clock) -> NewTask {
        NewTask {
            id: TaskId(clock.ordered_id()),
            kind,
            request: self.request.clone(),
            traceparent: self.traceparent.clone(),
            time_limit,
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

/// Takes a request for a cluster. After it returns the cluster exists, with its task; what is left is to publish
/// the wake-up, and losing that only costs time.
pub async fn create(
    store: &dyn Store,
    clock: &dyn Clock,
    asker: &Asker,
    wanted: &CreateCluster,
    limits: Limits,
    time_limit: Duration,
) -> Result<WakeUp, SubmitError> {
    let new = plan_rows(clock, asker, wanted, limits, time_limit)?;
    store.create_cluster(&new).await?;
    Ok(wake_up(new.id, &new.task))
}

fn plan_rows(
    clock: &dyn Clock,
    asker: &Asker,
    wanted: &CreateCluster,
    limits: Limits,
    time_limit: Duration,
) -> Result<NewCluster, SubmitError> {
    // A request has 1 to 1000 members, so this cannot fail; if it ever does, it is not the tenant's mistake.
    let slots = divide(wanted.members().len()).map_err(|error| StoreError::Broken(error.into()))?;
    let instances = (1..)
        .zip(wanted.members())
        .zip(slots)
        .map(|((number, member), slots)| NewInstance {
            id: InstanceId(clock.random_id()),
            name: member_name(wanted.name(), number),
            number,
            flavor_id: member.flavor.id.clone(),
            ram_mb: member.flavor.ram,
            volume_gb: member.volume_gb,
            planned_slots: Some(slots),
        })
        .collect();
    Ok(NewCluster {
        id: ClusterId(clock.random_id()),
        project: asker.project.clone(),
        name: wanted.name().to_owned(),
        version: wanted.datastore().version_id,
        instances,
        task: asker.task(TaskKind::CreateCluster, time_limit, clock),
        limits,
    })
}

/// The name of a cluster's member: Trove's `<cluster>-member-<number>`.
pub fn member_name(cluster: &str, number: u32) -> String {
    format!("{cluster}-member-{number}")
}

/// Takes a request to delete a cluster. The wake-up is absent if a delete is under way already.
pub async fn delete(
    store: &dyn Store,
    clock: &dyn Clock,
    asker: &Asker,
    cluster: ClusterId,
    time_limit: Duration,
) -> Result<Option<WakeUp>, SubmitError> {
    let task = asker.task(TaskKind::DeleteCluster, time_limit, clock);
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
        SubmitError::Quota(resources) => {
            let names: Vec<_> = resources.iter().map(|name| format!("'{name}'")).collect();
            Fault::new(FaultKind::OverLimit, format!("Quota exceeded for resources: [{}].", names.join(", ")))
        }
        SubmitError::Store(StoreError::Unavailable(_)) => Fault::unavailable("The database does not answer."),
        SubmitError::Store(_) => Fault::internal("The request could not be stored."),
    }
}
