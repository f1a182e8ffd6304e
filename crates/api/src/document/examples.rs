//! Examples of good answers. They are made of the types that the answers are made of, so they cannot be wrong in form.

use std::collections::BTreeMap;

use redtrove_core::ProjectId;
use redtrove_core::cluster::ClusterTask;
use serde::Serialize;
use serde_json::Value;

use crate::links::Links;
use crate::wire::{
    Absolute, ClusterBody, ClusterItem, ClusterView, ClustersBody, DatastoreBody, DatastoreRef, DatastoreView,
    DatastoresBody, FlavorBody, FlavorRefView, FlavorView, FlavorsBody, InstanceBody, InstanceItem, InstanceView,
    InstancesBody, InstancesInDetailBody, LimitsBody, Link, MemberItem, MemberView, ModulesBody, OperationView,
    OperatorClusterBody, OperatorClustersBody, Operators, QuotaView, QuotasBody, QuotasSetBody, TaskView, VersionBody,
    VersionInfo, VersionItem, VersionView, VersionsBody, VersionsInfo, Volume, VolumeTypesBody,
};

const BASE: &str = "https://db.example.org";
const CLUSTER: &str = "edaac9ca-b5e1-4028-adb7-fa7653e11224";
const MEMBER: &str = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
const DATASTORE: &str = "0a5b3ba5-1f0e-4d49-8f0a-6e0f7d3c2a11";
const VERSION: &str = "b00000b0-00b0-0b00-00b0-000b000000bb";
const TIME: &str = "2015-01-29T20:19:23";

/// The example for an operation, if it answers with a body.
pub(super) fn of(operation: &str) -> Option<Value> {
    match operation {
        "list_versions_of_the_api" => value(VersionsInfo { versions: vec![api_version()] }),
        "create_cluster" => value(ClusterBody { cluster: building() }),
        "show_cluster" => value(ClusterBody { cluster: formed() }),
        "list_clusters" => value(ClustersBody { clusters: vec![listed()], links: next("clusters", CLUSTER) }),
        "show_cluster_instance" | "show_instance" => value(InstanceBody { instance: instance() }),
        "list_instances" => value(InstancesBody { instances: vec![instance_item()], links: Vec::new() }),
        "list_instances_in_detail" => value(InstancesInDetailBody { instances: vec![instance()], links: Vec::new() }),
        "list_instance_modules" | "list_modules" => value(ModulesBody { modules: Vec::new() }),
        "list_volume_types" | "list_version_volume_types" => value(VolumeTypesBody { volume_types: Vec::new() }),
        "list_flavors" | "list_version_flavors" => value(FlavorsBody { flavors: vec![flavor()] }),
        "show_flavor" => value(FlavorBody { flavor: flavor() }),
        "list_datastores" => value(DatastoresBody { datastores: vec![datastore()] }),
        "show_datastore" => value(DatastoreBody { datastore: datastore() }),
        "list_versions" => value(VersionsBody { versions: vec![version()] }),
        "show_version" | "show_version_by_id" => value(VersionBody { version: version() }),
        "list_limits" => value(limits()),
        "show_quotas" => value(QuotasBody { quotas: vec![quota("instances", 3, 10), quota("volumes", 6, 40)] }),
        "change_quotas" => value(QuotasSetBody { quotas: BTreeMap::from([("instances", 20)]) }),
        "list_all_clusters" => value(OperatorClustersBody { clusters: vec![operators(listed())], links: Vec::new() }),
        "show_any_cluster" => value(OperatorClusterBody { cluster: operators(formed()) }),
        _ => None,
    }
}

fn value(body: impl Serialize) -> Option<Value> {
    serde_json::to_value(body).ok()
}

fn links(collection: &str, id: &str) -> Vec<Link> {
    let project = "demo".parse::<ProjectId>();
    project.map(|project| Links::new(BASE.to_owned(), project).of(collection, id)).unwrap_or_default()
}

fn next(collection: &str, marker: &str) -> Vec<Link> {
    vec![Link { href: format!("{BASE}/v1.0/demo/{collection}?limit=1&marker={marker}"), rel: "next" }]
}

fn api_version() -> VersionInfo {
    let links = vec![Link { href: format!("{BASE}/v1.0/"), rel: "self" }];
    VersionInfo { id: "v1.0", status: "CURRENT", updated: "2012-08-01T00:00:00Z", links }
}

fn runs() -> DatastoreRef {
    DatastoreRef { kind: "redis".to_owned(), version: "7.0".to_owned() }
}

fn cluster<M>(task: ClusterTask, member: M) -> ClusterItem<M> {
    ClusterItem {
        id: CLUSTER.to_owned(),
        name: "redis-clstr".to_owned(),
        task: TaskView { id: task.id(), name: task.name(), description: task.description() },
        created: TIME.to_owned(),
        updated: TIME.to_owned(),
        links: links("clusters", CLUSTER),
        datastore: runs(),
        locality: None,
        slots_served: Some(16_384),
        instances: vec![member],
    }
}

fn member_item() -> MemberItem {
    let name = "redis-clstr-member-1".to_owned();
    MemberItem { id: MEMBER.to_owned(), name, kind: "member", links: links("instances", MEMBER) }
}

fn member(status: &'static str, ip: Vec<String>) -> MemberView {
    let volume = Some(Volume { size: 2, used: None });
    MemberView { item: member_item(), status, ip, flavor: flavor_ref(), volume, fault: None }
}

fn listed() -> ClusterItem<MemberItem> {
    cluster(ClusterTask::None, member_item())
}

fn building() -> ClusterView {
    let (id, kind) = ("01a20746-29bb-7071-939d-c60d6cd15f34".to_owned(), "create_cluster");
    ClusterView {
        item: cluster(ClusterTask::Building, member("BUILD", Vec::new())),
        ip: Vec::new(),
        fault: None,
        operation: Some(OperationView { id, kind, step: None, progress: None }),
    }
}

fn formed() -> ClusterView {
    let ip = vec!["10.0.0.1".to_owned()];
    let item = cluster(ClusterTask::None, member("ACTIVE", ip.clone()));
    ClusterView { item, ip, fault: None, operation: None }
}

fn operators<C>(cluster: C) -> Operators<C> {
    Operators { cluster, tenant_id: "demo".to_owned(), deleted: false, deleted_at: None }
}

fn instance_item() -> InstanceItem {
    InstanceItem {
        id: MEMBER.to_owned(),
        cluster_id: CLUSTER.to_owned(),
        name: "redis-clstr-member-1".to_owned(),
        status: "ACTIVE",
        links: links("instances", MEMBER),
        datastore: runs(),
        ip: vec!["10.0.0.1".to_owned()],
        flavor: flavor_ref(),
        volume: Some(Volume { size: 2, used: None }),
    }
}

fn instance() -> InstanceView {
    let item = InstanceItem { volume: Some(Volume { size: 2, used: Some(0.17) }), ..instance_item() };
    InstanceView { item, local_storage: None, created: TIME.to_owned(), updated: TIME.to_owned(), fault: None }
}

fn flavor_ref() -> FlavorRefView {
    FlavorRefView { id: "2".to_owned(), links: links("flavors", "2") }
}

fn flavor() -> FlavorView {
    FlavorView {
        id: Some(2),
        str_id: "2".to_owned(),
        name: "redtrove.small".to_owned(),
        ram: 1024,
        vcpus: 1,
        disk: 5,
        ephemeral: 0,
        links: links("flavors", "2"),
    }
}

fn version_item() -> VersionItem {
    VersionItem { id: VERSION.to_owned(), name: "7.0".to_owned(), links: links("datastores/versions", VERSION) }
}

fn version() -> VersionView {
    VersionView { item: version_item(), datastore: DATASTORE.to_owned() }
}

fn datastore() -> DatastoreView {
    DatastoreView {
        id: DATASTORE.to_owned(),
        name: "redis".to_owned(),
        links: links("datastores", DATASTORE),
        versions: vec![version_item()],
        default_version: Some(VERSION.to_owned()),
    }
}

fn limits() -> LimitsBody {
    LimitsBody { limits: vec![Absolute { verb: "ABSOLUTE", max_instances: 10, max_volumes: 40, max_backups: 0 }] }
}

fn quota(resource: &'static str, in_use: i64, limit: i64) -> QuotaView {
    QuotaView { resource, in_use, reserved: 0, limit }
}
