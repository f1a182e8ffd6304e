//! What of the picture is wrong. Decides only; sees and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redtrove_core::cluster::{Cluster, ClusterTask};
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::slots::SLOT_COUNT;
use redtrove_core::topology::NodeView;
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotSet, TaskId, Timestamp};

use super::look::Picture;
use super::{Cure, Finding, Graces};
use crate::ports::{Amendment, OPERATION_LOST, OpenTask};

/// How long somebody may owe a FORGET before a person should know.
pub(super) const DEBTS_PAID_WITHIN: Duration = Duration::from_secs(600);
/// How long after its deadline a task may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// How long after its lease nobody may have taken a task: never less than this.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// How long after its time the sweeper may take to remove a machine.
const SWEPT_WITHIN: Duration = Duration::from_secs(120);

/// Everything that is wrong, clusters first.
pub(super) fn judge(picture: &Picture, graces: Graces) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (cluster, instances) in &picture.clusters {
        if cluster.task == ClusterTask::None {
            findings.extend(idle_members(cluster, instances));
            findings.extend(topology(picture, cluster, instances));
        } else {
            findings.extend(busy_with_nothing(picture, cluster));
        }
        findings.extend(machines_missing(picture, cluster, instances));
    }
    findings.extend(picture.open_tasks.iter().filter_map(|open| task(picture, open, graces)));
    findings.extend(picture.left_behind.iter().map(left_behind));
    findings.extend(usages(picture));
    findings.extend(debts(picture));
    findings.extend(orphans(picture, graces));
    findings
}

/// A finding that nobody but a person can put right.
fn told(kind: &'static str, what: String, advice: &str) -> Finding {
    let would_do = format!("nothing: {advice}");
    Finding { kind, cluster: None, instance: None, task: None, what, would_do, cure: None }
}

fn curable(kind: &'static str, what: String, would_do: String, cure: Cure) -> Finding {
    Finding { kind, cluster: None, instance: None, task: None, what, would_do, cure: Some(cure) }
}

impl Finding {
    fn of_cluster(self, id: ClusterId) -> Self {
        Self { cluster: Some(id), ..self }
    }

    fn of_instance(self, id: InstanceId) -> Self {
        Self { instance: Some(id), ..self }
    }

    fn of_member(self, member: &Instance) -> Self {
        self.of_cluster(member.cluster).of_instance(member.id)
    }

    fn of_task(self, id: TaskId) -> Self {
        Self { task: Some(id), ..self }
    }
}

fn busy_with_nothing(picture: &Picture, cluster: &Cluster) -> Option<Finding> {
    let task = cluster.operation.and_then(|id| picture.operations.get(&id));
    if task.is_some_and(|task| !task.state.is_end()) {
        return None;
    }
    let what = match (cluster.operation, task) {
        (Some(id), Some(task)) => format!("the cluster is {} with task {id}, which has {}", cluster.task, task.state),
        (Some(id), None) => format!("the cluster is {} with task {id}, which does not exist", cluster.task),
        (None, _) => format!("the cluster is {} without a task", cluster.task),
    };
    let would_do = format!("free the cluster, with the fault '{OPERATION_LOST}'");
    let finding = curable("cluster_without_task", what, would_do, Cure::Amend(Amendment::Free { cluster: cluster.id }));
    let finding = finding.of_cluster(cluster.id);
    Some(match cluster.operation {
        Some(task) => finding.of_task(task),
        None => finding,
    })
}

fn idle_members<'a>(cluster: &'a Cluster, instances: &'a [Instance]) -> impl Iterator<Item = Finding> + 'a {
    instances.iter().filter_map(|member| {
        let finding = match member.lifecycle {
            Lifecycle::Building if member.fault.is_none() => curable(
                "member_made_by_nobody",
                format!("{} is being made, and its cluster is busy with nothing", member.name),
                format!("give it the fault '{OPERATION_LOST}'"),
                Cure::Amend(Amendment::Blame { instance: member.id }),
            ),
            Lifecycle::Deleting if cluster.fault.is_none() => told(
                "member_leaves_for_nobody",
                format!("{} is on its way out, and its cluster is busy with nothing", member.name),
                "shrink the cluster by it once more, or delete the cluster",
            ),
            _ => return None,
        };
        Some(finding.of_member(member))
    })
}

fn machines_missing(picture: &Picture, cluster: &Cluster, instances: &[Instance]) -> Vec<Finding> {
    let missing = instances.iter().filter(|member| {
        let here = cluster.task == ClusterTask::None && member.lifecycle == Lifecycle::Complete;
        here && !picture.machines.contains(&member.id)
    });
    let finding = |member: &Instance| {
        let what = format!("{} is complete, and the provider has nothing for it", member.name);
        let advice = "its node is lost; shrink the cluster by it once its slots are elsewhere, or delete the cluster";
        told("machine_missing", what, advice).of_member(member)
    };
    missing.map(finding).collect()
}

fn task(picture: &Picture, open: &OpenTask, graces: Graces) -> Option<Finding> {
    let (now, task) = (picture.watched.now, &open.task);
    let cluster = picture.clusters.iter().find(|(cluster, _)| cluster.id == task.cluster);
    let finding = if cluster.is_none_or(|(cluster, _)| cluster.operation != Some(task.id)) {
        curable(
            "task_without_cluster",
            format!("the task is {} and its cluster is not busy with it", task.state),
            "end it as failed".to_owned(),
            Cure::Amend(Amendment::Supersede { task: task.id }),
        )
    } else if now.since(task.deadline) > ENDS_WITHIN {
        curable(
            "task_overdue",
            format!("the task is {}, and its deadline was {}", task.state, task.deadline),
            "end it as failed, unless somebody has it".to_owned(),
            Cure::End(task.id),
        )
    } else {
        let free_since = open.lease_ends.unwrap_or(open.not_before).max(open.not_before);
        if now.since(free_since) <= TAKEN_WITHIN.max(graces.lease * 3) {
            return None;
        }
        let advice = "see to it that a taskmanager runs, can reach the database and has free runners";
        told("task_taken_by_nobody", format!("nobody has taken the task since {free_since}"), advice)
    };
    Some(finding.of_cluster(task.cluster).of_task(task.id))
}

fn left_behind(left: &Instance) -> Finding {
    let what = format!("{} is {}, and its cluster is deleted", left.name, left.lifecycle);
    let would_do = "remove its machine and say that it is deleted".to_owned();
    curable("instance_left_behind", what, would_do, Cure::Bury(left.id)).of_member(left)
}

fn usages(picture: &Picture) -> impl Iterator<Item = Finding> + '_ {
    picture.usages.iter().map(|usage| {
        let (project, resource) = (&usage.project, usage.resource);
        let what = format!(
            "project {project} is said to use {} {}, and its rows come to {}",
            usage.in_use,
            resource.name(),
            usage.counted
        );
        let cure = Cure::Amend(Amendment::Recount { project: project.clone(), resource });
        curable("usage", what, "count again".to_owned(), cure)
    })
}

fn debts(picture: &Picture) -> Vec<Finding> {
    let live: BTreeSet<InstanceId> =
        picture.clusters.iter().flat_map(|(_, instances)| instances).map(|instance| instance.id).collect();
    let mut findings = Vec::new();
    // Of a deleted cluster nobody is left who could remember, and the monitor is about to say so.
    for removed in picture.removed.iter().filter(|removed| !removed.cluster_deleted) {
        let id = removed.node;
        for debtor in removed.debtors.difference(&live) {
            let what = format!("instance {debtor} is gone and owes a FORGET of node {id}");
            let cure = Cure::Forgive(id, *debtor);
            findings.push(
                curable("debt_of_nobody", what, "take the debt back".to_owned(), cure)
                    .of_cluster(removed.cluster)
                    .of_instance(*debtor),
            );
        }
        if picture.old_debts.contains(&id) {
            let debtors: Vec<String> = removed.debtors.iter().map(ToString::to_string).collect();
            let what = format!("node {id}, removed long ago, is not forgotten by {}", debtors.join(", "));
            let advice = "bring these members back, or shrink the cluster by them";
            findings.push(told("debt_unpaid", what, advice).of_cluster(removed.cluster).of_instance(removed.instance));
        }
        if !picture.machines.contains(&removed.instance) {
            let what = format!("the address of node {id}, which may be remembered, is not held back");
            let advice = "take care that nobody gets it before the node is forgotten";
            let finding = told("address_not_held", what, advice);
            findings.push(finding.of_cluster(removed.cluster).of_instance(removed.instance));
        }
    }
    findings
}

fn orphans(picture: &Picture, graces: Graces) -> Vec<Finding> {
    let first_seen: BTreeMap<InstanceId, Timestamp> =
        picture.orphans.iter().map(|orphan| (orphan.instance, orphan.first_seen)).collect();
    let now = picture.watched.now;
    let age = |id: &InstanceId| first_seen.get(id).map(|seen| now.since(*seen));
    // Where no taskmanager looks, nobody is about to remove anything.
    let unattended = picture.watched.ended(SWEPT_WITHIN).is_some();
    let mut findings = Vec::new();
    for id in &picture.deleted_machines {
        if unattended || age(id).is_some_and(|age| age > graces.deleted_machine.saturating_add(SWEPT_WITHIN)) {
            let what = format!("there is a machine, or an address, of instance {id}, which is deleted");
            let would_do = "remove it".to_owned();
            findings.push(curable("deleted_machine", what, would_do, Cure::RemoveDeleted(*id)).of_instance(*id));
        }
    }
    for id in &picture.unknown_machines {
        let what = match first_seen.get(id) {
            Some(seen) => format!("there is a machine of an instance {id} that no row knows, seen since {seen}"),
            None => format!("there is a machine of an instance {id} that no row knows"),
        };
        let over = graces.unknown_machine.zip(age(id)).is_some_and(|(grace, age)| age >= grace);
        let finding = if over {
            curable("unknown_machine", what, "remove it".to_owned(), Cure::RemoveUnknown(*id))
        } else {
            let advice = "it may be a tenant's, if the database was restored from a backup; taskmanagers remove it \
                          after unknown_machine_grace";
            told("unknown_machine", what, advice)
        };
        findings.push(finding.of_instance(*id));
    }
    findings
}

/// What is wrong with the nodes of an idle cluster.
fn topology(picture: &Picture, cluster: &Cluster, instances: &[Instance]) -> Vec<Finding> {
    let complete: Vec<&Instance> = instances.iter().filter(|i| i.lifecycle == Lifecycle::Complete).collect();
    let views: Vec<(&Instance, &NodeView)> =
        complete.iter().filter_map(|member| Some((*member, picture.views.get(&member.id)?))).collect();
    let recorded: BTreeSet<NodeId> = instances.iter().filter_map(|instance| instance.node_id).collect();
    let removed: BTreeSet<NodeId> = picture.removed.iter().map(|removed| removed.node).collect();
    let members: BTreeSet<NodeId> = complete.iter().filter_map(|member| member.node_id).collect();
    let mut findings = Vec::new();
    for (member, view) in &views {
        let name = &member.name;
        if Some(view.myself) != member.node_id {
            let what = format!("the node of {name} is {}, and another one was recorded", view.myself);
            findings.push(told("node_changed", what, "look at its log before anything else").of_member(member));
            continue;
        }
        let known = view.known();
        let strangers: Vec<&NodeId> =
            known.iter().filter(|id| !recorded.contains(id) && !removed.contains(id)).collect();
        if !strangers.is_empty() {
            let what = format!("{name} knows {}, which no row knows", list(&strangers));
            let advice = "find out whose they are; no operation on the cluster succeeds while they are known";
            findings.push(told("stranger_known", what, advice).of_member(member));
        }
        let lacking: Vec<&NodeId> = members.difference(&known).collect();
        if !lacking.is_empty() {
            let what = format!("{name} does not know {}", list(&lacking));
            findings.push(told("member_not_known", what, "look at the network between them").of_member(member));
        }
    }
    if views.len() == complete.len() && !complete.is_empty() {
        findings.extend(slots(cluster, &views));
    }
    findings
}

fn slots(cluster: &Cluster, views: &[(&Instance, &NodeView)]) -> Option<Finding> {
    let mut owned = SlotSet::empty();
    let mut twice = false;
    for (_, view) in views {
        let own = view.own_slots();
        twice |= owned.intersects(&own);
        owned = owned.union(&own);
    }
    let count = owned.count();
    let finding = if twice {
        let what = "two members say that they own the same slot".to_owned();
        told("slots_owned_twice", what, "see `redis-cli --cluster check` and `--cluster fix`")
    } else if count < u32::from(SLOT_COUNT) {
        let what = format!("{count} of {SLOT_COUNT} slots are owned");
        told("slots_not_owned", what, "see `redis-cli --cluster check` and `--cluster fix`")
    } else {
        return None;
    };
    Some(finding.of_cluster(cluster.id))
}

fn list(ids: &[&NodeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
