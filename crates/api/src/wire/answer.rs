//! The bodies that are written. Field by field they are the blueprint's, with what Trove's clients need beside.
//! Times are UTC with whole seconds and no zone: `2015-01-29T20:19:23`.

use serde::Serialize;
use utoipa::ToSchema;

/// A link to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Link {
    /// The URL.
    pub href: String,
    /// `self`, `bookmark` or `next`.
    pub rel: &'static str,
}

/// What a cluster is busy with.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// Trove's number.
    pub id: u32,
    /// Trove's name, `NONE` when the cluster is ready for the next operation.
    pub name: &'static str,
    /// A sentence.
    pub description: &'static str,
}

/// What a cluster or instance runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DatastoreRef {
    /// The datastore's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version's name.
    pub version: String,
}

/// Why the last operation failed, or why a member needs attention.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultView {
    /// One sentence.
    pub message: String,
    /// Since when it is known; of members only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

/// The operation that is under way.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationView {
    /// The id of its task.
    pub id: String,
    /// `create_cluster`, `delete_cluster` …
    pub kind: &'static str,
    /// The step it is in; null before the first.
    pub step: Option<String>,
    /// How far it is, in words; null before the first step.
    pub progress: Option<String>,
}

/// The flavor of an instance.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlavorRefView {
    /// Its id.
    pub id: String,
    /// Links to it.
    pub links: Vec<Link>,
}

/// A volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Volume {
    /// GB.
    pub size: u64,
    /// What is in use, GB with two decimals; only where one instance is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub used: Option<f64>,
}

/// The disk of an instance where there are no volumes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct LocalStorage {
    /// What is in use, GB with two decimals; absent until heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub used: Option<f64>,
}

/// A member in a list of clusters.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberItem {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Always `member`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Links to it.
    pub links: Vec<Link>,
}

/// A member of a cluster that is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// What a list shows.
    #[serde(flatten)]
    pub item: MemberItem,
    /// `ACTIVE`, `BLOCKED`, `BUILD`, `ERROR` or `SHUTDOWN`.
    pub status: &'static str,
    /// Its addresses; empty until it has one.
    pub ip: Vec<String>,
    /// Its flavor.
    pub flavor: FlavorRefView,
    /// Its volume, where there are volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub volume: Option<Volume>,
    /// Why its status is `ERROR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub fault: Option<FaultView>,
}

/// A cluster in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterItem<M> {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is busy with.
    pub task: TaskView,
    /// When it was asked for.
    pub created: String,
    /// When it last changed.
    pub updated: String,
    /// Links to it.
    pub links: Vec<Link>,
    /// What it runs.
    pub datastore: DatastoreRef,
    /// `affinity` or `anti-affinity`, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub locality: Option<&'static str>,
    /// How many of the 16384 slots its members serve, as last heard: with fewer, some keys cannot be reached. Absent until
    /// that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, minimum = 0, maximum = 16384)]
    pub slots_served: Option<u32>,
    /// Its members, in member order.
    pub instances: Vec<M>,
}

/// A cluster that is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterView {
    /// What a list shows, with more of each member.
    #[serde(flatten)]
    pub item: ClusterItem<MemberView>,
    /// The addresses of its members, sorted; empty until they have some.
    pub ip: Vec<String>,
    /// Why its last operation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub fault: Option<FaultView>,
    /// The operation that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub operation: Option<OperationView>,
}

/// One cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterBody {
    /// The cluster.
    pub cluster: ClusterView,
}

/// A page of clusters.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClustersBody {
    /// The clusters, by id.
    pub clusters: Vec<ClusterItem<MemberItem>>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub links: Vec<Link>,
}

/// An instance in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceItem {
    /// Its id.
    pub id: String,
    /// The cluster it is a member of.
    pub cluster_id: String,
    /// Its name.
    pub name: String,
    /// `ACTIVE`, `BLOCKED`, `BUILD`, `ERROR` or `SHUTDOWN`.
    pub status: &'static str,
    /// Links to it.
    pub links: Vec<Link>,
    /// What it runs.
    pub datastore: DatastoreRef,
    /// Its addresses; empty until it has one.
    pub ip: Vec<String>,
    /// Its flavor.
    pub flavor: FlavorRefView,
    /// Its volume, where there are volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub volume: Option<Volume>,
}

/// An instance that is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceView {
    /// What a list shows.
    #[serde(flatten)]
    pub item: InstanceItem,
    /// Its disk, where there are no volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub local_storage: Option<LocalStorage>,
    /// When it was asked for.
    pub created: String,
    /// When it last changed.
    pub updated: String,
    /// Why its status is `ERROR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub fault: Option<FaultView>,
}

/// One instance.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceBody {
    /// The instance.
    pub instance: InstanceView,
}

/// A page of instances.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstancesBody {
    /// The instances, by id.
    pub instances: Vec<InstanceItem>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub links: Vec<Link>,
}

/// A page of instances, with all that is known of each.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstancesInDetailBody {
    /// The instances, by id.
    pub instances: Vec<InstanceView>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub links: Vec<Link>,
}

/// Modules.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModulesBody {
    /// Always empty: there are none.
    #[schema(value_type = Vec<Object>)]
    pub modules: Vec<()>,
}

/// Types of volume.
#[derive(Debug, Serialize, ToSchema)]
pub struct VolumeTypesBody {
    /// Always empty: there are none to choose from.
    #[schema(value_type = Vec<Object>)]
    pub volume_types: Vec<()>,
}

/// A flavor.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlavorView {
    /// Its id as a number; null where it is none.
    pub id: Option<u64>,
    /// Its id.
    pub str_id: String,
    /// Its name.
    pub name: String,
    /// Memory, MB.
    pub ram: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// Root disk, GB.
    pub disk: u64,
    /// Ephemeral disk, GB.
    pub ephemeral: u64,
    /// Links to it.
    pub links: Vec<Link>,
}

/// One flavor.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlavorBody {
    /// The flavor.
    pub flavor: FlavorView,
}

/// Every flavor.
#[derive(Debug, Serialize, ToSchema)]
pub struct FlavorsBody {
    /// The flavors, by id.
    pub flavors: Vec<FlavorView>,
}

/// A version of a datastore.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionItem {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Links to it.
    pub links: Vec<Link>,
}

/// A version of a datastore that is shown by itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// What a datastore shows of it.
    #[serde(flatten)]
    pub item: VersionItem,
    /// The id of its datastore.
    pub datastore: String,
}

/// A datastore.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatastoreView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Links to it.
    pub links: Vec<Link>,
    /// The versions that clusters may be made of.
    pub versions: Vec<VersionItem>,
    /// The id of the version that is taken where none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub default_version: Option<String>,
}

/// One datastore.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatastoreBody {
    /// The datastore.
    pub datastore: DatastoreView,
}

/// Every datastore.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatastoresBody {
    /// The datastores, by name.
    pub datastores: Vec<DatastoreView>,
}

/// One version.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionBody {
    /// The version.
    pub version: VersionView,
}

/// The versions of a datastore.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionsBody {
    /// The versions, by name.
    pub versions: Vec<VersionView>,
}

/// What a project may have; a negative number is no limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Absolute {
    /// Always `ABSOLUTE`.
    pub verb: &'static str,
    /// Instances.
    pub max_instances: i64,
    /// The sum of its volumes, GB.
    pub max_volumes: i64,
    /// Backups: there are none.
    pub max_backups: i64,
}

/// Limits.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitsBody {
    /// The absolute limits; requests are not limited by rate.
    pub limits: Vec<Absolute>,
}

/// A version of this API.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionInfo {
    /// `v1.0`.
    pub id: &'static str,
    /// `CURRENT`.
    pub status: &'static str,
    /// When this version was settled.
    pub updated: &'static str,
    /// Where it is.
    pub links: Vec<Link>,
}

/// The versions of this API.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionsInfo {
    /// The versions.
    pub versions: Vec<VersionInfo>,
}
