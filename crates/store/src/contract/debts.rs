//! Removed nodes, and who has yet to forget them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::instance::{Heard, Lifecycle};
use redtrove_core::{InstanceId, NodeId, Timestamp};
use redtrove_engine::Store;
use redtrove_engine::ports::{Change, Ending, Lease, Limits, NewCluster, RemovedNode, StoreError, SubmitError};
use redtrove_engine::task::TaskKind;
use tokio::task::JoinSet;

use super::{Bed, changed, node_id, success};

/// A cluster that is shrinking.
struct Shrinking {
    new: NewCluster,
    lease: Lease,
    members: Vec<InstanceId>,
    nodes: Vec<NodeId>,
}

impl Shrinking {
    fn left(&self, place: usize) -> Change {
        Change::Left { instance: self.members[place] }
    }

    fn gone(&self, place: usize) -> Change {
        Change::Gone { instance: self.members[place] }
    }

    fn forgotten(&self, removed: usize, place: usize) -> Change {
        Change::Forgotten { instance: self.members[place], node: self.nodes[removed] }
    }

    fn debt(&self, removed: usize, place: usize) -> (NodeId, InstanceId) {
        (self.nodes[removed], self.members[place])
    }

    /// When the last debt for the node was paid, as it stands now.
    async fn paid(&self, bed: &Bed, place: usize) -> Option<Timestamp> {
        bed.removed(self, place).await.and_then(|removed| removed.paid)
    }

    fn of(&self, places: &[usize]) -> BTreeSet<InstanceId> {
        places.iter().map(|place| self.members[*place]).collect()
    }
}

impl Bed {
    /// A cluster that is shrinking by its first member, with the nodes of the first `nodes` members recorded.
    async fn leaving(&self, members: u32, nodes: u32) -> Shrinking {
        let new = self.ready(members).await;
        let members: Vec<_> = new.instances.iter().map(|instance| instance.id).collect();
        let lease = self.shrinking(new.id, &members[..1]).await;
        let nodes: Vec<_> = (0..nodes).map(|_| node_id(self.number())).collect();
        let recorded = members.iter().zip(&nodes).map(|(member, node)| Change::Node { instance: *member, node: *node });
        self.changed(&lease, &recorded.collect::<Vec<_>>()).await;
        Shrinking { new, lease, members, nodes }
    }

    async fn removed(&self, of: &Shrinking, place: usize) -> Option<RemovedNode> {
        let removed = self.second.removed_nodes(Some(of.new.id)).await.unwrap();
        removed.into_iter().find(|removed| removed.node == of.nodes[place])
    }

    async fn debtors(&self, of: &Shrinking, place: usize) -> BTreeSet<InstanceId> {
        self.removed(of, place).await.unwrap().debtors
    }
}

pub(super) async fn those_who_stay_owe(bed: Bed) {
    let cluster = bed.leaving(5, 4).await;
    let other = bed.leaving(2, 2).await;
    assert!(bed.store.removed_nodes(None).await.unwrap().is_empty());
    bed.changed(&cluster.lease, &[cluster.left(0)]).await;
    let wanted = RemovedNode {
        node: cluster.nodes[0],
        instance: cluster.members[0],
        cluster: cluster.new.id,
        debtors: cluster.of(&[1, 2, 3]),
        paid: None,
        generation: cluster.lease.token,
        cluster_deleted: false,
    };
    let removed = bed.second.removed_nodes(None).await.unwrap();
    assert_eq!(removed, [wanted], "those with a node, and not itself");
    assert_eq!(bed.second.removed_nodes(Some(cluster.new.id)).await.unwrap(), removed);
    assert!(bed.store.removed_nodes(Some(other.new.id)).await.unwrap().is_empty());
    let (_, instances) = bed.store.cluster(cluster.new.id).await.unwrap().unwrap();
    let lives: Vec<_> = instances.iter().map(|instance| instance.lifecycle).collect();
    assert_eq!((lives[0], &lives[1..]), (Lifecycle::Deleting, &[Lifecycle::Complete; 4][..]));

    bed.changed(&other.lease, &[other.left(0)]).await;
    let nodes: Vec<_> = bed.store.removed_nodes(None).await.unwrap().into_iter().map(|removed| removed.node).collect();
    assert_eq!(nodes, [cluster.nodes[0], other.nodes[0]], "in the order of their ids");
    let raised = bed.store.raise_token(&cluster.lease, 900).await.unwrap();
    assert_eq!(bed.removed(&cluster, 0).await.unwrap().generation, raised.token);
}

pub(super) async fn a_node_that_nobody_knew_leaves_no_debt(bed: Bed) {
    let cluster = bed.leaving(3, 1).await;
    let before = bed.store.now().await.unwrap();
    bed.changed(&cluster.lease, &[cluster.left(2)]).await;
    assert!(bed.store.removed_nodes(None).await.unwrap().is_empty(), "it had no node");
    let (_, instances) = bed.store.cluster(cluster.new.id).await.unwrap().unwrap();
    assert_eq!(instances[2].lifecycle, Lifecycle::Deleting);
    bed.changed(&cluster.lease, &[cluster.left(0)]).await;
    let removed = bed.removed(&cluster, 0).await.unwrap();
    assert!(removed.debtors.is_empty(), "nobody else has a node");
    assert!(removed.paid.unwrap() >= before);
}

pub(super) async fn a_life_that_ends_is_left_once(bed: Bed) {
    let cluster = bed.leaving(3, 3).await;
    bed.changed(&cluster.lease, &[cluster.left(0)]).await;
    bed.changed(&cluster.lease, &[cluster.forgotten(0, 1)]).await;
    let owed = bed.store.removed_nodes(None).await.unwrap();
    assert_eq!(owed[0].debtors, cluster.of(&[2]));
    bed.changed(&cluster.lease, &[cluster.left(0)]).await;
    assert_eq!(bed.store.removed_nodes(None).await.unwrap(), owed, "a repeated one owes nothing new");
    let limits = Limits { instances: 3, volumes_gb: -1 };
    assert!(!bed.fits(1, limits).await, "its quota is taken while its machine is there");
    bed.changed(&cluster.lease, &[cluster.gone(0), cluster.gone(0)]).await;
    bed.changed(&cluster.lease, &[cluster.gone(0), cluster.left(0)]).await;
    assert_eq!(bed.store.removed_nodes(None).await.unwrap(), owed, "as long as somebody remembers");
    assert!(!bed.fits(2, limits).await);
    assert!(bed.fits(1, limits).await, "one is free");

    let dead = bed.leaving(2, 2).await;
    bed.changed(&dead.lease, &[dead.gone(0)]).await;
    bed.changed(&dead.lease, &[dead.left(0)]).await;
    assert!(bed.removed(&dead, 0).await.is_none());
    let (_, instances) = bed.store.cluster(dead.new.id).await.unwrap().unwrap();
    assert_eq!(instances.len(), 1, "what is deleted stays so");

    let foreign = Change::Left { instance: cluster.members[1] };
    bed.changed(&dead.lease, &[foreign]).await;
    let (_, instances) = bed.store.cluster(cluster.new.id).await.unwrap().unwrap();
    assert!(instances.iter().all(|instance| instance.lifecycle == Lifecycle::Complete), "a task keeps to its cluster");
}

pub(super) async fn the_last_payment_is_dated(bed: Bed) {
    let cluster = bed.leaving(4, 4).await;
    bed.changed(&cluster.lease, &[cluster.left(0)]).await;
    bed.changed(&cluster.lease, &[cluster.forgotten(0, 1)]).await;
    bed.store.pay_debts(&[cluster.debt(0, 2), cluster.debt(0, 2), cluster.debt(1, 2)]).await.unwrap();
    let removed = bed.removed(&cluster, 0).await.unwrap();
    assert_eq!((removed.debtors, removed.paid), (cluster.of(&[3]), None));
    let before = bed.store.now().await.unwrap();
    bed.changed(&cluster.lease, &[cluster.forgotten(0, 3)]).await;
    let paid = bed.removed(&cluster, 0).await.unwrap().paid.unwrap();
    assert!(before <= paid && paid <= bed.second.now().await.unwrap());
    bed.changed(&cluster.lease, &[cluster.forgotten(0, 3), cluster.forgotten(1, 3)]).await;
    bed.store.pay_debts(&[cluster.debt(0, 3), cluster.debt(0, 0)]).await.unwrap();
    assert_eq!(bed.removed(&cluster, 0).await.unwrap().paid, Some(paid), "it is paid once");
    bed.store.pay_debts(&[]).await.unwrap();

    bed.changed(&cluster.lease, &[cluster.left(1), cluster.left(2)]).await;
    bed.store.pay_debts(&[cluster.debt(2, 3), cluster.debt(1, 3)]).await.unwrap();
    for place in [1, 2] {
        let removed = bed.removed(&cluster, place).await.unwrap();
        assert!(removed.debtors.is_empty() && removed.paid.is_some(), "{removed:?}");
    }
}

pub(super) async fn those_who_leave_owe_no_longer(bed: Bed) {
    let cluster = bed.leaving(5, 4).await;
    bed.changed(&cluster.lease, &[cluster.left(0), cluster.left(1)]).await;
    assert_eq!(bed.debtors(&cluster, 0).await, cluster.of(&[2, 3]));
    assert_eq!(bed.debtors(&cluster, 1).await, cluster.of(&[2, 3]), "who has left owes nothing");
    bed.changed(&cluster.lease, &[cluster.forgotten(1, 3)]).await;
    bed.changed(&cluster.lease, &[cluster.left(2)]).await;
    let removed = bed.removed(&cluster, 1).await.unwrap();
    assert!(removed.debtors.is_empty() && removed.paid.is_some(), "the last who owed has left: {removed:?}");
    assert_eq!(bed.debtors(&cluster, 0).await, cluster.of(&[3]));
    assert_eq!(bed.debtors(&cluster, 2).await, cluster.of(&[3]));
    bed.changed(&cluster.lease, &[cluster.gone(3)]).await;
    for place in [0, 2] {
        let removed = bed.removed(&cluster, place).await.unwrap();
        assert!(removed.debtors.is_empty() && removed.paid.is_some(), "the dead owe nothing: {removed:?}");
    }
}

pub(super) async fn racing_payments_are_all_seen(bed: Bed) {
    for _ in 0..6 {
        let cluster = Arc::new(bed.leaving(6, 6).await);
        bed.changed(&cluster.lease, &[cluster.left(0), cluster.left(1)]).await;
        let mut race = JoinSet::new();
        for place in 2..6 {
            let store = if place % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
            let cluster = Arc::clone(&cluster);
            race.spawn(async move {
                if place == 3 {
                    let forgotten = changed(&[cluster.forgotten(1, place), cluster.forgotten(0, place)]);
                    store.record(&cluster.lease, &forgotten).await
                } else {
                    store.pay_debts(&[cluster.debt(0, place), cluster.debt(1, place)]).await
                }
            });
        }
        for result in race.join_all().await {
            result.unwrap();
        }
        for place in [0, 1] {
            let removed = bed.removed(&cluster, place).await.unwrap();
            assert!(removed.debtors.is_empty() && removed.paid.is_some(), "{removed:?}");
        }
    }
}

pub(super) async fn those_who_remember_owe_again(bed: Bed) {
    let (cluster, other) = (bed.leaving(4, 4).await, bed.leaving(2, 2).await);
    bed.changed(&cluster.lease, &[cluster.left(0), cluster.gone(3)]).await;
    bed.store.pay_debts(&[cluster.debt(0, 1), cluster.debt(0, 2)]).await.unwrap();
    let paid = bed.removed(&cluster, 0).await.unwrap();
    assert!(paid.paid.is_some());
    let unable = [cluster.members[0], cluster.members[3], other.members[0], InstanceId(bed.scattered())];
    bed.store.owe_again(cluster.nodes[0], &unable).await.unwrap();
    bed.store.owe_again(cluster.nodes[0], &[]).await.unwrap();
    assert_eq!(bed.removed(&cluster, 0).await.unwrap(), paid, "who is on the way out, gone or elsewhere cannot owe");
    let able = [cluster.members[1], cluster.members[3], cluster.members[1]];
    bed.store.owe_again(cluster.nodes[0], &able).await.unwrap();
    let removed = bed.removed(&cluster, 0).await.unwrap();
    assert_eq!((removed.debtors, removed.paid), (cluster.of(&[1]), None));
    bed.store.owe_again(cluster.nodes[0], &[cluster.members[2], cluster.members[1]]).await.unwrap();
    assert_eq!(bed.debtors(&cluster, 0).await, cluster.of(&[1, 2]));
    bed.store.pay_debts(&[cluster.debt(0, 1), cluster.debt(0, 2)]).await.unwrap();
    assert!(bed.removed(&cluster, 0).await.unwrap().paid >= paid.paid, "paid for anew");
    bed.store.owe_again(cluster.nodes[1], &cluster.members).await.unwrap();
    assert!(bed.removed(&cluster, 1).await.is_none(), "a node that was not removed is not owed for");
}

/// Who remembers again is not complained of because of the time before.
pub(super) async fn what_is_owed_again_is_owed_since_then(bed: Bed) {
    let cluster = bed.leaving(3, 3).await;
    bed.changed(&cluster.lease, &[cluster.left(0)]).await;
    let updated = async || bed.store.cluster(cluster.new.id).await.unwrap().unwrap().1[0].updated;
    let left = updated().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    bed.store.owe_again(cluster.nodes[0], &cluster.members).await.unwrap();
    assert_eq!(updated().await, left, "it is owed for still");
    bed.store.pay_debts(&[cluster.debt(0, 1), cluster.debt(0, 2)]).await.unwrap();
    bed.store.owe_again(cluster.nodes[0], &cluster.members[..1]).await.unwrap();
    assert_eq!(updated().await, left, "nobody owes");
    bed.store.owe_again(cluster.nodes[0], &cluster.members[1..2]).await.unwrap();
    assert!(updated().await > left, "it was paid for");
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(bed.store.old_debts(Duration::ZERO).await.unwrap(), cluster.nodes[..1]);
}

pub(super) async fn a_held_back_machine_is_not_rubbish(bed: Bed) {
    let cluster = bed.leaving(4, 3).await;
    bed.changed(&cluster.lease, &[cluster.left(0), cluster.gone(0), cluster.left(3), cluster.gone(3)]).await;
    let deleted = bed.store.deleted_among(&cluster.members).await.unwrap();
    assert_eq!(deleted, cluster.of(&[3]), "the first one's node may be remembered");
    bed.store.pay_debts(&[cluster.debt(0, 1), cluster.debt(0, 2)]).await.unwrap();
    assert_eq!(bed.store.deleted_among(&cluster.members).await.unwrap(), cluster.of(&[3]), "until it is dropped");
    assert!(bed.store.drop_removed_node(cluster.nodes[0], cluster.paid(&bed, 0).await).await.unwrap());
    assert_eq!(bed.store.deleted_among(&cluster.members).await.unwrap(), cluster.of(&[0, 3]));

    bed.changed(&cluster.lease, &[cluster.left(1)]).await;
    bed.store.pay_debts(&[cluster.debt(1, 2)]).await.unwrap();
    assert!(bed.store.drop_removed_node(cluster.nodes[1], cluster.paid(&bed, 1).await).await.unwrap());
    assert!(bed.store.removed_nodes(None).await.unwrap().is_empty());
    for node in cluster.nodes.iter().copied() {
        assert!(bed.store.drop_removed_node(node, None).await.unwrap(), "it is gone");
        bed.store.owe_again(node, &cluster.members).await.unwrap();
        bed.store.pay_debts(&[(node, cluster.members[2])]).await.unwrap();
    }
    bed.changed(&cluster.lease, &[cluster.left(0), cluster.left(1), cluster.forgotten(0, 2)]).await;
    assert!(bed.store.removed_nodes(None).await.unwrap().is_empty(), "what is dropped does not come back");
}

/// Whoever looked before a debt came back, and was paid anew, has seen nothing.
pub(super) async fn a_node_that_is_owed_for_again_is_not_dropped(bed: Bed) {
    let cluster = bed.leaving(4, 3).await;
    bed.changed(&cluster.lease, &[cluster.left(0), cluster.gone(0)]).await;
    assert!(!bed.store.drop_removed_node(cluster.nodes[0], None).await.unwrap(), "it is owed for");
    bed.store.pay_debts(&[cluster.debt(0, 1), cluster.debt(0, 2)]).await.unwrap();
    let before = cluster.paid(&bed, 0).await;
    assert!(before.is_some());
    bed.store.owe_again(cluster.nodes[0], &[cluster.members[1]]).await.unwrap();
    assert!(!bed.store.drop_removed_node(cluster.nodes[0], before).await.unwrap());
    assert!(!bed.store.drop_removed_node(cluster.nodes[0], None).await.unwrap());
    assert_eq!(bed.debtors(&cluster, 0).await, cluster.of(&[1]), "its debts are there still");
    // Timestamps are as fine as the database keeps them; a payment of the same instant would be the same.
    tokio::time::sleep(Duration::from_millis(5)).await;
    bed.store.pay_debts(&[cluster.debt(0, 1)]).await.unwrap();
    assert!(!bed.store.drop_removed_node(cluster.nodes[0], before).await.unwrap(), "it was paid for anew");
    assert!(bed.store.drop_removed_node(cluster.nodes[0], cluster.paid(&bed, 0).await).await.unwrap());
    assert!(bed.removed(&cluster, 0).await.is_none());
}

pub(super) async fn a_deleted_cluster_owes_nothing(bed: Bed) {
    let cluster = bed.leaving(4, 4).await;
    bed.changed(&cluster.lease, &[cluster.left(0), cluster.gone(0)]).await;
    let delete = bed.deleting(cluster.new.id).await.lease;
    bed.changed(&delete, &[cluster.left(1)]).await;
    assert_eq!(bed.store.removed_nodes(None).await.unwrap().len(), 1, "who is deleted does not leave");
    bed.changed(&delete, &[cluster.gone(1)]).await;
    bed.store.finish(&delete, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
    let removed = bed.store.removed_nodes(None).await.unwrap();
    assert_eq!(removed.len(), 1, "until its address is free");
    assert!(removed[0].debtors.is_empty() && removed[0].paid.is_some() && removed[0].cluster_deleted, "{removed:?}");
    assert_eq!(removed[0].generation, delete.token);
    bed.store.owe_again(cluster.nodes[0], &cluster.members).await.unwrap();
    assert_eq!(bed.store.removed_nodes(None).await.unwrap(), removed);
    assert_eq!(bed.store.deleted_among(&cluster.members).await.unwrap(), cluster.of(&[1, 2, 3]));
    assert!(bed.store.drop_removed_node(cluster.nodes[0], None).await.unwrap());
    assert_eq!(bed.store.deleted_among(&cluster.members).await.unwrap(), cluster.of(&[0, 1, 2, 3]));
}

/// Everything that writes to a cluster, on several clusters of a project at the same time. What it comes to is how it
/// would be had each waited for the others.
pub(super) async fn nobody_is_in_the_way_of_another(bed: Bed) {
    let mut clusters = Vec::new();
    for _ in 0..3 {
        clusters.push(Arc::new(bed.leaving(8, 8).await));
    }
    let mut race = JoinSet::new();
    for (number, cluster) in clusters.iter().enumerate() {
        for place in 0..7 {
            race.spawn(leaves(bed.clone(), Arc::clone(cluster), place));
        }
        race.spawn(remembers(bed.clone(), Arc::clone(cluster)));
        race.spawn(grows(bed.clone(), Arc::clone(cluster)));
        if number > 0 {
            race.spawn(is_deleted(bed.clone(), Arc::clone(cluster)));
        }
    }
    while let Some(result) = race.join_next().await {
        result.unwrap();
    }
    let owed: BTreeSet<_> = bed.store.removed_nodes(None).await.unwrap().into_iter().flat_map(|r| r.debtors).collect();
    assert!(owed.is_subset(&clusters[0].of(&[7])), "the others are deleted, or have left: {owed:?}");
    for removed in bed.store.removed_nodes(None).await.unwrap() {
        assert_eq!(removed.paid.is_some(), removed.debtors.is_empty(), "{removed:?}");
    }
    for cluster in &clusters {
        if bed.store.cluster(cluster.new.id).await.unwrap().is_some() {
            let lease = bed.deleting(cluster.new.id).await.lease;
            bed.store.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
        }
    }
    assert!(bed.fits(1, Limits { instances: 1, volumes_gb: 2 }).await, "every quota is free again");
}

fn one_of(bed: &Bed, number: usize) -> Arc<dyn Store> {
    if number.is_multiple_of(2) { bed.store.clone() } else { bed.second.clone() }
}

/// A write behind the fence: done, or the cluster was taken over.
fn fenced(result: Result<(), StoreError>) {
    assert!(matches!(result, Ok(()) | Err(StoreError::LeaseLost)), "{result:?}");
}

async fn leaves(bed: Bed, cluster: Arc<Shrinking>, place: usize) {
    let store = one_of(&bed, place);
    fenced(store.record(&cluster.lease, &changed(&[cluster.left(place)])).await);
    store.pay_debts(&[cluster.debt(place, 7), cluster.debt((place + 1) % 7, 7)]).await.unwrap();
    store.put_heard(&[(cluster.members[place], Heard::default())]).await.unwrap();
    let late = [cluster.forgotten((place + 2) % 7, 7), cluster.gone(place)];
    fenced(store.record(&cluster.lease, &changed(&late)).await);
}

async fn remembers(bed: Bed, cluster: Arc<Shrinking>) {
    for place in 0..7 {
        one_of(&bed, place).owe_again(cluster.nodes[place], &cluster.members).await.unwrap();
        one_of(&bed, place).pay_debts(&[cluster.debt(place, 6), cluster.debt(place, 7)]).await.unwrap();
        if place == 3 {
            let paid = cluster.paid(&bed, place).await;
            one_of(&bed, place).drop_removed_node(cluster.nodes[place], paid).await.unwrap();
        }
    }
}

async fn grows(bed: Bed, cluster: Arc<Shrinking>) {
    for round in 0..6 {
        let growth = bed.growth(cluster.new.id, 2);
        let result = one_of(&bed, round).grow_cluster(&growth).await;
        assert!(matches!(result, Err(SubmitError::Busy(_) | SubmitError::NotFound)), "{result:?}");
    }
}

async fn is_deleted(bed: Bed, cluster: Arc<Shrinking>) {
    let task = bed.new_task(TaskKind::DeleteCluster);
    bed.store.delete_cluster(&bed.project(), cluster.new.id, &task).await.unwrap();
    let lease = bed.claimed(task.id).await.lease;
    for place in 0..8 {
        bed.changed(&lease, &[cluster.gone(place)]).await;
    }
    bed.second.finish(&lease, &Ending { cluster_deleted: true, ..success() }).await.unwrap();
}
