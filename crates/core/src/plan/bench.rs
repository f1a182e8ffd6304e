//! Members and views made by hand, for the tests of plans.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ids::{InstanceId, NodeId};
use crate::plan::{Limits, Member, Sight};
use crate::slots::{SlotSet, divide};
use crate::topology::{NodeAddress, NodeLine, NodeView, Reach};

pub(super) const LIMITS: Limits = Limits { guests_ready: Duration::from_secs(60), min_uptime: Duration::ZERO };

pub(super) fn instance(n: usize) -> InstanceId {
    InstanceId(uuid::Uuid::from_u128(n as u128 + 1))
}

pub(super) fn node_id(n: usize) -> NodeId {
    format!("{:040x}", n + 1).parse().unwrap()
}

pub(super) fn ip(n: usize) -> String {
    format!("10.0.0.{}", n + 1)
}

pub(super) fn line(n: usize, myself: bool, epoch: u64, slots: SlotSet) -> NodeLine {
    NodeLine {
        id: node_id(n),
        address: NodeAddress { ip: ip(n), port: 6379, bus_port: Some(16379), hostname: None },
        myself,
        master: true,
        replicates: None,
        reach: Reach::Fine,
        handshake: false,
        noaddr: false,
        config_epoch: epoch,
        connected: true,
        slots,
        migrating: Vec::new(),
        importing: Vec::new(),
    }
}

/// The view of a node that was just started.
pub(super) fn fresh(n: usize) -> NodeView {
    NodeView {
        myself: node_id(n),
        nodes: vec![line(n, true, 0, SlotSet::empty())],
        state_ok: false,
        keys: 0,
        uptime_seconds: 1,
        complete: false,
        closed_for: None,
        left: None,
    }
}

/// `owners` members that share all slots, then `empty` ones without any: all complete, all know each other.
pub(super) fn serving(owners: usize, empty: usize) -> Vec<Member> {
    let slots = divide(owners).unwrap();
    let own = |n: usize| slots.get(n).map_or_else(SlotSet::empty, |range| SlotSet::from(*range));
    (0..owners + empty)
        .map(|n| {
            let nodes = (0..owners + empty).map(|m| line(m, m == n, m as u64 + 1, own(m))).collect();
            let view = NodeView { nodes, state_ok: true, complete: true, ..fresh(n) };
            member(n, Some(node_id(n)), true, Sight::View(Box::new(view)))
        })
        .collect()
}

pub(super) fn member(n: usize, node: Option<NodeId>, serves: bool, sight: Sight) -> Member {
    Member { id: instance(n), name: format!("m{}", n + 1), ip: Some(ip(n)), node, serves, sight }
}

pub(super) fn view(member: &mut Member) -> &mut NodeView {
    match &mut member.sight {
        Sight::View(view) => view,
        other => panic!("no view but {other:?}"),
    }
}

/// What a view says of node `n`.
pub(super) fn about(view: &mut NodeView, n: usize) -> &mut NodeLine {
    view.nodes.iter_mut().find(|line| line.id == node_id(n)).unwrap()
}

pub(super) fn silent() -> Sight {
    Sight::Silent("no answer".to_owned())
}

pub(super) fn ids(nodes: impl IntoIterator<Item = usize>) -> BTreeSet<NodeId> {
    nodes.into_iter().map(node_id).collect()
}
