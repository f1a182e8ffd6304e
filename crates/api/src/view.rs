//! From the domain's words to the wire's.

use std::time::Duration;

use redtrove_core::Timestamp;
use redtrove_core::catalogue::{Datastore, DatastoreLabel, DatastoreVersion, Flavor};
use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::placement::Locality;
use redtrove_core::status::{MemberFault, member_status};
use redtrove_engine::ports::{OperatorCluster, StoreError};
use redtrove_engine::task::{Task, TaskKind};

use crate::app::App;
use crate::links::Links;
use crate::wire::{
    ClusterItem, ClusterView, DatastoreRef, DatastoreView, FaultView, FlavorRefView, FlavorView, InstanceItem,
    InstanceView, LocalStorage, MemberItem, MemberView, OperationView, Operators, TaskView, VersionItem, VersionView,
    Volume,
};

/// Shows things to the caller of one request, all as they are at one time.
#[derive(Debug, Clone)]
pub struct Viewer {
    links: Links,
    now: Timestamp,
    heartbeat_expiry: Duration,
    unwatched: Option<Timestamp>,
    volume_support: bool,
}

impl Viewer {
    /// Shows things with `links` and by the settings of `app`.
    pub fn new(app: &App, links: Links) -> Self {
        let config = app.config();
        Self {
            links,
            now: app.clock().now(),
            heartbeat_expiry: config.status.agent_heartbeat_expiry.duration(),
            unwatched: app.unwatched().since(),
            volume_support: config.redis.volume_support,
        }
    }

    /// Shows members as they are at `now`, by the clock that wrote what was heard of them: the database's.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// Shows `members` as they are at this moment. The database is asked for its time only if one of them has fallen
    /// silent: of the others nothing that is shown depends on it.
    pub async fn at_present<'m>(
        self,
        app: &App,
        members: impl IntoIterator<Item = &'m Instance>,
    ) -> Result<Self, StoreError> {
        if members.into_iter().all(|member| member.heard.silent_since.is_none()) {
            return Ok(self);
        }
        Ok(self.at(app.store().now().await?))
    }

    /// The links in use.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// A cluster in a list.
    pub fn cluster_item(&self, cluster: &Cluster, members: &[Instance]) -> ClusterItem<MemberItem> {
        self.cluster(cluster, members.iter().map(|member| self.member_item(member)).collect())
    }

    /// A cluster, with what works on it.
    pub fn cluster_view(
        &self,
        cluster: &Cluster,
        members: &[Instance],
        operation: Option<OperationView>,
    ) -> ClusterView {
        let mut ip: Vec<String> = members.iter().flat_map(addresses).collect();
        ip.sort_by_key(|ip| (ip.parse::<std::net::IpAddr>().ok(), ip.clone()));
        ClusterView {
            item: self.cluster(cluster, members.iter().map(|member| self.member_view(member)).collect()),
            ip,
            fault: cluster.fault.clone().map(|message| FaultView { message, created: None }),
            operation,
        }
    }

    /// A cluster in a list for operators.
    pub fn operator_cluster_item(&self, found: &OperatorCluster) -> Operators<ClusterItem<MemberItem>> {
        operators(found, self.cluster_item(&found.cluster, &found.instances))
    }

    /// A cluster for operators.
    pub fn operator_cluster_view(
        &self,
        found: &OperatorCluster,
        operation: Option<OperationView>,
    ) -> Operators<ClusterView> {
        operators(found, self.cluster_view(&found.cluster, &found.instances, operation))
    }

    fn cluster<M>(&self, cluster: &Cluster, instances: Vec<M>) -> ClusterItem<M> {
        ClusterItem {
            id: cluster.id.to_string(),
            name: cluster.name.clone(),
            task: task_view(cluster.task),
            created: cluster.created.to_string(),
            updated: cluster.updated.to_string(),
            links: self.links.of("clusters", cluster.id),
            datastore: datastore_ref(&cluster.datastore),
            locality: cluster.locality.map(Locality::name),
            slots_served: cluster.slots_served,
            instances,
        }
    }

    fn member_item(&self, member: &Instance) -> MemberItem {
        MemberItem {
            id: member.id.to_string(),
            name: member.name.clone(),
            kind: "member",
            links: self.links.of("instances", member.id),
        }
    }

    fn member_view(&self, member: &Instance) -> MemberView {
        let (status, fault) = member_status(member, self.now, self.heartbeat_expiry, self.unwatched);
        MemberView {
            item: self.member_item(member),
            status: status.name(),
            ip: addresses(member),
            flavor: self.flavor_ref(&member.flavor_id),
            volume: self.volume_support.then_some(Volume { size: member.volume_gb, used: None }),
            fault: fault.map(fault_view),
        }
    }

    /// An instance in a list.
    pub fn instance_item(&self, instance: &Instance, datastore: &DatastoreLabel) -> InstanceItem {
        let (status, _) = member_status(instance, self.now, self.heartbeat_expiry, self.unwatched);
        InstanceItem {
            id: instance.id.to_string(),
            cluster_id: instance.cluster.to_string(),
            name: instance.name.clone(),
            status: status.name(),
            links: self.links.of("instances", instance.id),
            datastore: datastore_ref(datastore),
            ip: addresses(instance),
            flavor: self.flavor_ref(&instance.flavor_id),
            volume: self.volume_support.then_some(Volume { size: instance.volume_gb, used: None }),
        }
    }

    /// An instance.
    pub fn instance_view(&self, instance: &Instance, datastore: &DatastoreLabel) -> InstanceView {
        let (_, fault) = member_status(instance, self.now, self.heartbeat_expiry, self.unwatched);
        let used = instance.heard.volume_used_mb.filter(|_| instance.lifecycle == Lifecycle::Complete).map(gigabytes);
        let item = self.instance_item(instance, datastore);
        InstanceView {
            item: InstanceItem { volume: item.volume.map(|volume| Volume { used, ..volume }), ..item },
            local_storage: (!self.volume_support).then_some(LocalStorage { used }),
            created: instance.created.to_string(),
            updated: instance.updated.to_string(),
            fault: fault.map(fault_view),
        }
    }

    fn flavor_ref(&self, id: &str) -> FlavorRefView {
        FlavorRefView { id: id.to_owned(), links: self.links.of("flavors", id) }
    }

    /// A flavor.
    pub fn flavor(&self, flavor: &Flavor) -> FlavorView {
        FlavorView {
            id: plain_number(&flavor.id),
            str_id: flavor.id.clone(),
            name: flavor.name.clone(),
            ram: flavor.ram,
            vcpus: flavor.vcpus,
            disk: flavor.disk,
            ephemeral: flavor.ephemeral,
            links: self.links.of("flavors", &flavor.id),
        }
    }

    /// A datastore, with the versions that clusters may be made of.
    pub fn datastore(&self, datastore: &Datastore) -> DatastoreView {
        let active = datastore.versions.iter().filter(|version| version.active);
        DatastoreView {
            id: datastore.id.to_string(),
            name: datastore.name.clone(),
            links: self.links.of("datastores", datastore.id),
            versions: active.map(|version| self.version_item(version)).collect(),
            default_version: datastore.default_version().map(|version| version.id.to_string()),
        }
    }

    fn version_item(&self, version: &DatastoreVersion) -> VersionItem {
        VersionItem {
            id: version.id.to_string(),
            name: version.name.clone(),
            links: self.links.of("datastores/versions", version.id),
        }
    }

    /// A version of a datastore.
    pub fn version(&self, datastore: &Datastore, version: &DatastoreVersion) -> VersionView {
        VersionView { item: self.version_item(version), datastore: datastore.id.to_string() }
    }
}

fn operators<C>(found: &OperatorCluster, cluster: C) -> Operators<C> {
    Operators {
        cluster,
        tenant_id: found.cluster.project.to_string(),
        deleted: found.deleted_at.is_some(),
        deleted_at: found.deleted_at.map(|time| time.to_string()),
    }
}

/// With the time, without which clients cannot show an instance that has a fault.
fn fault_view(fault: MemberFault) -> FaultView {
    FaultView { message: fault.message, created: Some(fault.since.to_string()) }
}

fn addresses(instance: &Instance) -> Vec<String> {
    instance.ip.iter().cloned().collect()
}

fn task_view(task: ClusterTask) -> TaskView {
    TaskView { id: task.id(), name: task.name(), description: task.description() }
}

/// What works on a cluster, as long as it does.
pub fn operation(task: &Task) -> Option<OperationView> {
    let view = || OperationView {
        id: task.id.to_string(),
        kind: task.kind.name(),
        step: task.step.clone(),
        progress: task.progress.clone(),
    };
    (!task.state.is_end()).then(view)
}

/// What has just begun to work on a cluster, as its own row says.
pub fn begun(cluster: &Cluster) -> Option<OperationView> {
    let kind = TaskKind::ALL.into_iter().find(|kind| kind.cluster_task() == cluster.task)?;
    Some(OperationView { id: cluster.operation?.to_string(), kind: kind.name(), step: None, progress: None })
}

fn datastore_ref(label: &DatastoreLabel) -> DatastoreRef {
    DatastoreRef { kind: label.datastore.clone(), version: label.version.clone() }
}

/// The number that `text` is, if it is written as one plainly; "007" is another id than 7.
fn plain_number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

/// GB with two decimals; what is in use at all is never shown as nothing (Trove's `to_gb`).
#[expect(clippy::cast_precision_loss, reason = "two decimals of what a disk holds are far from the limit")]
fn gigabytes(megabytes: u64) -> f64 {
    let rounded = (megabytes as f64 / 1024.0 * 100.0).round() / 100.0;
    if megabytes == 0 { 0.0 } else { rounded.max(0.01) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_is_one() {
        for (text, number) in [("2", Some(2)), ("007", None), ("+1", None), ("", None), ("big", None), ("-1", None)] {
            assert_eq!(plain_number(text), number, "{text}");
        }
    }

    #[test]
    fn gigabytes_have_two_decimals() {
        assert_eq!([0, 1, 174, 1024, 1536].map(gigabytes), [0.0, 0.01, 0.17, 1.0, 1.5]);
    }
}
