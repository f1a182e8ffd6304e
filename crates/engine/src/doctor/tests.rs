//! What the doctor makes of pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redtrove_core::catalogue::DatastoreLabel;
use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::{Heard, Instance, Lifecycle};
use redtrove_core::topology::{NodeAddress, NodeLine, NodeView, Reach};
use redtrove_core::{ClusterId, InstanceId, NodeId, RequestId, SlotRange, SlotSet, TaskId, Timestamp};
use uuid::Uuid;

use super::judge::judge;
use super::look::Picture;
use super::{Finding, Graces};
use crate::ports::{OpenTask, Orphan, RemovedNode, Watched};
use crate::task::{Task, TaskKind, TaskState};

const GRACES: Graces = Graces {
    lease: Duration::from_secs(30),
    deleted_machine: Duration::from_secs(30),
    unknown_machine: Some(Duration::from_secs(3_600)),
};
const NOW: Timestamp = Timestamp(100_000_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.before(Duration::from_secs(seconds))
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn node(n: u128) -> NodeId {
    format!("{n:040x}").parse().unwrap()
}

fn member(n: u128) -> Instance {
    Instance {
        id: InstanceId(id(n)),
        cluster: ClusterId(id(900)),
        name: format!("c-member-{n}"),
        number: u32::try_from(n).unwrap(),
        flavor_id: "1".to_owned(),
        ram_mb: 512,
        volume_gb: 1,
        placement: Default::default(),
        lifecycle: Lifecycle::Complete,
        ip: Some("10.0.0.1".to_owned()),
        node_id: Some(node(n)),
        planned_slots: None,
        fault: None,
        heard: Heard::default(),
        created: ago(9_000),
        updated: ago(9_000),
    }
}

fn line(n: u128, slots: SlotSet) -> NodeLine {
    NodeLine {
        id: node(n),
        address: NodeAddress::default(),
        myself: false,
        master: true,
        replicates: None,
        reach: Reach::Fine,
        handshake: false,
        noaddr: false,
        config_epoch: 1,
        connected: true,
        slots,
        migrating: Vec::new(),
        importing: Vec::new(),
    }
}

fn view(n: u128) -> NodeView {
    let halves = [SlotRange::new(0, 8_191).unwrap(), SlotRange::new(8_192, 16_383).unwrap()];
    NodeView {
        myself: node(n),
        nodes: vec![line(1, halves[0].into()), line(2, halves[1].into())],
        state_ok: true,
        keys: 0,
        uptime_seconds: 100,
        complete: true,
        closed_for: None,
        left: None,
    }
}

fn task(state: TaskState, deadline: Timestamp) -> Task {
    Task {
        id: TaskId(id(800)),
        cluster: ClusterId(id(900)),
        kind: TaskKind::GrowCluster,
        members: Vec::new(),
        state,
        verdict: None,
        step: None,
        progress: None,
        attempt: 1,
        lease_owner: None,
        deadline,
        fault: None,
        request: RequestId::new(id(1)),
        traceparent: None,
        created: ago(5_000),
        started: None,
        ended: None,
    }
}

/// A cluster of two in which all is well.
fn sound() -> Picture {
    let cluster = Cluster {
        id: ClusterId(id(900)),
        project: "p1".parse().unwrap(),
        name: "c".to_owned(),
        task: ClusterTask::None,
        operation: None,
        datastore: DatastoreLabel {
            version_id: redtrove_core::ids::DatastoreVersionId(id(2)),
            datastore: "redis".to_owned(),
            version: "7.0".to_owned(),
        },
        locality: None,
        fault: None,
        slots_served: None,
        created: ago(9_000),
        updated: ago(9_000),
    };
    let members = vec![member(1), member(2)];
    Picture {
        watched: Watched { now: NOW, looked: Some(ago(5)), until: None },
        machines: members.iter().map(|member| member.id).collect(),
        views: BTreeMap::from([(members[0].id, view(1)), (members[1].id, view(2))]),
        clusters: vec![(cluster, members)],
        operations: BTreeMap::new(),
        open_tasks: Vec::new(),
        left_behind: Vec::new(),
        usages: Vec::new(),
        removed: Vec::new(),
        old_debts: BTreeSet::new(),
        deleted_machines: BTreeSet::new(),
        unknown_machines: BTreeSet::new(),
        orphans: Vec::new(),
    }
}

/// The same, busy with a task.
fn busy(state: TaskState, deadline: Timestamp) -> Picture {
    let mut picture = sound();
    let task = task(state, deadline);
    picture.clusters[0].0.task = ClusterTask::GrowingCluster;
    picture.clusters[0].0.operation = Some(task.id);
    if !state.is_end() {
        picture.open_tasks = vec![OpenTask { task: task.clone(), lease_ends: Some(ago(0)), not_before: ago(5_000) }];
    }
    picture.operations = BTreeMap::from([(task.id, task)]);
    picture
}

fn removed(debtors: &[u128]) -> RemovedNode {
    RemovedNode {
        node: node(7),
        instance: InstanceId(id(7)),
        cluster: ClusterId(id(900)),
        debtors: debtors.iter().map(|n| InstanceId(id(*n))).collect(),
        paid: None,
        generation: 3,
        cluster_deleted: false,
    }
}

fn findings(picture: &Picture) -> Vec<Finding> {
    judge(picture, GRACES)
}

/// The only finding.
#[track_caller]
fn only(picture: &Picture) -> Finding {
    let found = findings(picture);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

#[test]
fn nothing_is_found_where_all_is_well_or_under_way() {
    assert_eq!(findings(&sound()), []);
    assert_eq!(findings(&busy(TaskState::Running, ago(0))), []);
    let mut leaving = sound();
    leaving.removed = vec![removed(&[1, 2])];
    leaving.machines.insert(InstanceId(id(7)));
    for view in leaving.views.values_mut() {
        view.nodes.push(line(7, SlotSet::empty()));
    }
    assert_eq!(findings(&leaving), [], "it is remembered, and known to be");
    let mut silent = sound();
    silent.views.clear();
    assert_eq!(findings(&silent), [], "the monitor tells of those");
}

#[test]
fn a_cluster_that_is_busy_with_nothing_is_freed() {
    for state in [TaskState::Failed, TaskState::Succeeded] {
        let found = only(&busy(state, ago(0)));
        assert_eq!((found.kind, found.can_be_mended()), ("cluster_without_task", true));
        assert!(found.what.ends_with(&format!("which has {state}")), "{}", found.what);
    }
    let mut missing = busy(TaskState::Failed, ago(0));
    missing.operations.clear();
    assert!(only(&missing).what.contains("does not exist"));
}

#[test]
fn tasks_that_nobody_drives_are_found() {
    let mut astray = busy(TaskState::Running, ago(0));
    astray.clusters[0].0.operation = None;
    astray.clusters[0].0.task = ClusterTask::None;
    assert_eq!(only(&astray).kind, "task_without_cluster");
    astray.clusters.clear();
    assert_eq!(only(&astray).kind, "task_without_cluster", "its cluster is deleted");

    let overdue = busy(TaskState::Running, ago(61));
    assert_eq!((only(&overdue).kind, only(&overdue).can_be_mended()), ("task_overdue", true));
    let mut unclaimed = busy(TaskState::Running, ago(0));
    for (lease_ends, found) in [(Some(ago(80)), false), (Some(ago(100)), true), (None, true)] {
        unclaimed.open_tasks[0].lease_ends = lease_ends;
        let kinds: Vec<_> = findings(&unclaimed).iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, if found { vec!["task_taken_by_nobody"] } else { vec![] }, "{lease_ends:?}");
    }
    unclaimed.open_tasks[0].not_before = ago(5);
    assert_eq!(findings(&unclaimed), [], "it rests");
}

#[test]
fn members_that_no_task_drives_are_found_in_idle_clusters_only() {
    for (lifecycle, kind) in
        [(Lifecycle::Building, "member_made_by_nobody"), (Lifecycle::Deleting, "member_leaves_for_nobody")]
    {
        let mut picture = sound();
        let mut third = member(3);
        third.lifecycle = lifecycle;
        third.node_id = None;
        picture.clusters[0].1.push(third);
        assert_eq!(only(&picture).kind, kind);
        picture.clusters[0].0.fault = Some("failed".to_owned());
        picture.clusters[0].1[2].fault = Some("failed".to_owned());
        assert_eq!(findings(&picture), [], "what failed says so");
    }
    let mut building = busy(TaskState::Running, ago(0));
    building.clusters[0].1[1].lifecycle = Lifecycle::Building;
    assert_eq!(findings(&building), []);
}

#[test]
fn machines_that_do_not_fit_the_rows_are_found() {
    let mut lost = sound();
    lost.machines.clear();
    assert_eq!(findings(&lost).iter().map(|f| f.kind).collect::<Vec<_>>(), ["machine_missing"; 2]);

    let orphan = InstanceId(id(42));
    let mut picture = sound();
    picture.deleted_machines.insert(orphan);
    assert_eq!(findings(&picture), [], "the sweeper has just seen it, or will");
    picture.orphans = vec![Orphan { instance: orphan, first_seen: ago(200) }];
    assert_eq!((only(&picture).kind, only(&picture).can_be_mended()), ("deleted_machine", true));
    picture.orphans[0].first_seen = ago(60);
    assert_eq!(findings(&picture), []);
    picture.watched.looked = Some(ago(300));
    assert_eq!(only(&picture).kind, "deleted_machine", "no sweeper will");

    let mut picture = sound();
    picture.unknown_machines.insert(orphan);
    assert_eq!((only(&picture).kind, only(&picture).can_be_mended()), ("unknown_machine", false));
    picture.orphans = vec![Orphan { instance: orphan, first_seen: ago(3_601) }];
    assert!(only(&picture).can_be_mended(), "its time is over");
    assert!(judge(&picture, Graces { unknown_machine: None, ..GRACES }).iter().all(|found| !found.can_be_mended()));
}

#[test]
fn debts_that_stay_are_found() {
    let mut picture = sound();
    picture.machines.insert(InstanceId(id(7)));
    picture.removed = vec![removed(&[1, 5])];
    assert_eq!((only(&picture).kind, only(&picture).instance), ("debt_of_nobody", Some(InstanceId(id(5)))));
    picture.removed = vec![removed(&[1])];
    picture.old_debts.insert(node(7));
    assert_eq!(only(&picture).kind, "debt_unpaid");
    picture.old_debts.clear();
    picture.machines.remove(&InstanceId(id(7)));
    assert_eq!(only(&picture).kind, "address_not_held");
    picture.removed[0].cluster_deleted = true;
    assert_eq!(findings(&picture), [], "the monitor frees those");
}

#[test]
fn nodes_that_are_not_as_recorded_are_found() {
    let change = |change: &dyn Fn(&mut NodeView)| {
        let mut picture = sound();
        change(picture.views.get_mut(&InstanceId(id(2))).unwrap());
        only(&picture).kind
    };
    let empty = || line(9, SlotSet::empty());
    assert_eq!(change(&|view| view.nodes.push(empty())), "stranger_known");
    assert_eq!(change(&|view| view.nodes.retain(|line| line.id == node(2))), "member_not_known");
    assert_eq!(change(&|view| view.nodes[1].slots = SlotRange::new(8_192, 16_382).unwrap().into()), "slots_not_owned");
    assert_eq!(
        change(&|view| view.nodes[1].slots = SlotRange::new(8_191, 16_383).unwrap().into()),
        "slots_owned_twice"
    );
    let mut other = sound();
    other.views.get_mut(&InstanceId(id(2))).unwrap().myself = node(9);
    assert!(findings(&other).iter().any(|found| found.kind == "node_changed"));
}
