//! Nodes that were removed from clusters, and who has yet to forget them.
//!
//! Whoever writes one of either holds the row of the cluster, so what is seen of the others' debts is how they are:
//! without that, two who pay the last two debts of a node at the same time would each see the other's.

use std::collections::{BTreeMap, BTreeSet};

use redtrove_core::{ClusterId, InstanceId, NodeId, Timestamp};
use redtrove_engine::ports::{RemovedNode, StoreError};

use crate::backend::{Backend, SqlStore, printed, values};
use crate::rows;
use crate::session::Tx;

/// Removed nodes, one row a debtor; what follows says which.
macro_rules! removed_nodes {
    ($which:literal) => {
        concat!(
            "SELECT r.node_id AS node_id, r.instance_id AS instance_id, r.cluster_id AS cluster_id, r.paid AS paid, \
             c.lease_token AS lease_token, c.deleted AS deleted, d.instance_id AS debtor \
             FROM removed_nodes r JOIN clusters c ON c.id = r.cluster_id \
             LEFT JOIN forget_debts d ON d.node_id = r.node_id ",
            $which,
            "ORDER BY r.node_id"
        )
    };
}

const REMOVED: &str = removed_nodes!("");

const REMOVED_FROM: &str = removed_nodes!("WHERE r.cluster_id = ? ");

/// Locks the row of a cluster: a change that changes nothing.
const LOCK_CLUSTER: &str = "UPDATE clusters SET lease_token = lease_token WHERE id = ?";

const CLUSTER_OF: &str = "SELECT cluster_id FROM removed_nodes WHERE node_id = ?";

/// Matches once in an instance's life.
const LEAVE: &str = "UPDATE instances SET lifecycle = 'deleting', updated = ? \
    WHERE id = ? AND cluster_id = ? AND lifecycle IN ('building', 'complete')";

const NODE_OF: &str = "SELECT node_id FROM instances WHERE id = ?";

const REMOVE_NODE: &str = "INSERT INTO removed_nodes (node_id, cluster_id, instance_id) VALUES (?, ?, ?)";

const OWE: &str = "INSERT INTO forget_debts (node_id, instance_id) SELECT ?, id FROM instances \
    WHERE cluster_id = ? AND lifecycle IN ('building', 'complete') AND node_id IS NOT NULL";

const OWE_AGAIN: &str = "INSERT INTO forget_debts (node_id, instance_id) SELECT r.node_id, i.id \
    FROM removed_nodes r JOIN instances i ON i.cluster_id = r.cluster_id \
    WHERE r.node_id = ? AND i.id = ? AND i.lifecycle IN ('building', 'complete') AND NOT EXISTS \
    (SELECT 1 FROM forget_debts d WHERE d.node_id = r.node_id AND d.instance_id = i.id)";

/// What was paid for and is owed again is owed since now: see `Upkeep::old_debts`.
const OWED_SINCE: &str = "UPDATE instances SET updated = ? \
    WHERE id = (SELECT r.instance_id FROM removed_nodes r WHERE r.node_id = ? AND r.paid IS NOT NULL)";

const OWED_BY: &str = "SELECT node_id, instance_id FROM forget_debts WHERE instance_id = ?";

const OWED_FOR: &str = "SELECT node_id, instance_id FROM forget_debts WHERE node_id = ?";

const OWED_AFTER_ALL: &str = "SELECT d.node_id AS node_id, d.instance_id AS instance_id FROM forget_debts d \
    JOIN removed_nodes r ON r.node_id = d.node_id JOIN clusters c ON c.id = r.cluster_id \
    WHERE d.node_id = ? AND c.deleted = 1";

/// By the whole key: a search through an index would lock the debts of other clusters on its way.
const PAY: &str = "DELETE FROM forget_debts WHERE node_id = ? AND instance_id = ?";

const SETTLE: &str = "UPDATE removed_nodes SET paid = ? WHERE node_id = ? AND paid IS NULL \
    AND NOT EXISTS (SELECT 1 FROM forget_debts d WHERE d.node_id = removed_nodes.node_id)";

const UNSETTLE: &str = "UPDATE removed_nodes SET paid = NULL WHERE node_id = ?";

const DROP: &str = "DELETE FROM removed_nodes WHERE node_id = ? AND (paid = ? \
    OR EXISTS (SELECT 1 FROM clusters c WHERE c.id = removed_nodes.cluster_id AND c.deleted = 1))";

type Debt = (NodeId, InstanceId);

impl<B: Backend> SqlStore<B> {
    /// See `Store::removed_nodes`.
    pub(crate) async fn read_removed(&self, cluster: Option<ClusterId>) -> Result<Vec<RemovedNode>, StoreError> {
        let rows = match cluster {
            Some(cluster) => self.rows(REMOVED_FROM, values![printed(cluster)]).await?,
            None => self.rows(REMOVED, values![]).await?,
        };
        let mut removed: Vec<RemovedNode> = Vec::new();
        for row in &rows {
            let node: NodeId = rows::parsed(row, "node_id")?;
            if removed.last().is_none_or(|last| last.node != node) {
                removed.push(rows::removed_node(row)?);
            }
            if let Some(last) = removed.last_mut() {
                last.debtors.extend(rows::parsed_or_null::<InstanceId>(row, "debtor")?);
            }
        }
        Ok(removed)
    }

    /// Pays debts for one removed node: see `Store::pay_debts`.
    pub(crate) async fn write_paid(&self, node: NodeId, debtors: &BTreeSet<InstanceId>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if !lock_cluster_of(&mut tx, node).await? {
            return Ok(());
        }
        // Most of those who forget a node together have paid before.
        let mut owed = debts(&mut tx, OWED_FOR, node.as_str()).await?;
        owed.retain(|(_, debtor)| debtors.contains(debtor));
        pay(&mut tx, &owed).await?;
        tx.commit().await
    }

    /// See `Store::owe_again`.
    pub(crate) async fn write_owed(&self, node: NodeId, debtors: &[InstanceId]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if !lock_cluster_of(&mut tx, node).await? {
            return Ok(());
        }
        let owed_since = values![tx.now, node.as_str()];
        tx.execute(OWED_SINCE, owed_since).await?;
        let mut owed = 0;
        for debtor in debtors {
            owed += tx.execute(OWE_AGAIN, values![node.as_str(), printed(*debtor)]).await?;
        }
        if owed == 0 {
            return Ok(());
        }
        tx.execute(UNSETTLE, values![node.as_str()]).await?;
        tx.commit().await
    }

    /// See `Store::drop_removed_node`.
    pub(crate) async fn delete_removed(&self, node: NodeId, paid: Option<Timestamp>) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !lock_cluster_of(&mut tx, node).await? {
            return Ok(true);
        }
        // What is paid for has no debtors. Nor has what was removed from a deleted cluster, unless that left instances
        // behind, which nobody asks any more.
        let owed = debts(&mut tx, OWED_AFTER_ALL, node.as_str()).await?;
        pay(&mut tx, &owed).await?;
        let dropped = tx.execute(DROP, values![node.as_str(), paid]).await? > 0;
        tx.commit().await?;
        Ok(dropped)
    }
}

/// Debts by removed node.
pub(crate) fn by_node(paid: &[Debt]) -> BTreeMap<NodeId, BTreeSet<InstanceId>> {
    let mut nodes: BTreeMap<NodeId, BTreeSet<InstanceId>> = BTreeMap::new();
    for (node, debtor) in paid {
        nodes.entry(*node).or_default().insert(*debtor);
    }
    nodes
}

/// Locks the row of a cluster, before that of any task or instance.
pub(crate) async fn lock_cluster<B: Backend>(tx: &mut Tx<B>, cluster: ClusterId) -> Result<(), StoreError> {
    tx.execute(LOCK_CLUSTER, values![printed(cluster)]).await?;
    Ok(())
}

/// Locks the row of the cluster that a node was removed from; false if there is no such node.
async fn lock_cluster_of<B: Backend>(tx: &mut Tx<B>, node: NodeId) -> Result<bool, StoreError> {
    let Some(row) = tx.one(CLUSTER_OF, values![node.as_str()]).await? else { return Ok(false) };
    lock_cluster(tx, rows::parsed(&row, "cluster_id")?).await?;
    Ok(true)
}

/// The instance's node has left: see `Change::Left`.
pub(crate) async fn leave<B: Backend>(
    tx: &mut Tx<B>,
    cluster: ClusterId,
    instance: InstanceId,
) -> Result<(), StoreError> {
    if tx.execute(LEAVE, values![tx.now, printed(instance), printed(cluster)]).await? == 0 {
        return Ok(());
    }
    forgive(tx, instance).await?;
    let row = rows::present(tx.one(NODE_OF, values![printed(instance)]).await?, "instance")?;
    let Some(node) = rows::parsed_or_null::<NodeId>(&row, "node_id")? else { return Ok(()) };
    tx.execute(REMOVE_NODE, values![node.as_str(), printed(cluster), printed(instance)]).await?;
    tx.execute(OWE, values![node.as_str(), printed(cluster)]).await?;
    settle(tx, node).await
}

/// What an instance owes that is no longer there to pay vanishes.
pub(crate) async fn forgive<B: Backend>(tx: &mut Tx<B>, instance: InstanceId) -> Result<(), StoreError> {
    let owed = debts(tx, OWED_BY, &instance.to_string()).await?;
    pay(tx, &owed).await
}

/// Pays debts; a node whose last one that was is paid for now.
pub(crate) async fn pay<B: Backend>(tx: &mut Tx<B>, paid: &[Debt]) -> Result<(), StoreError> {
    let mut nodes = BTreeSet::new();
    for (node, debtor) in paid {
        tx.execute(PAY, values![node.as_str(), printed(*debtor)]).await?;
        nodes.insert(*node);
    }
    for node in nodes {
        settle(tx, node).await?;
    }
    Ok(())
}

async fn settle<B: Backend>(tx: &mut Tx<B>, node: NodeId) -> Result<(), StoreError> {
    tx.execute(SETTLE, values![tx.now, node.as_str()]).await?;
    Ok(())
}

async fn debts<B: Backend>(tx: &mut Tx<B>, sql: &'static str, of: &str) -> Result<Vec<Debt>, StoreError> {
    let rows = tx.rows(sql, values![of]).await?;
    rows.iter().map(|row| Ok((rows::parsed(row, "node_id")?, rows::parsed(row, "instance_id")?))).collect()
}
