//! Creating a cluster.
//!
//! The order is what makes it fast and safe:
//! 1. every machine is made and every redis-server started, each member for itself;
//! 2. each node passes the **join fence** in its fresh form, and its node id is recorded;
//! 3. each node gets its configuration epoch and its slots *before* it meets anyone. Nodes without slots count
//!    themselves into a minority and wait up to 5 s; equal epochs are resolved node by node;
//! 4. the members meet: all of few, else everyone the first ones. From step 3 on, nodes run a short node timeout, as
//!    gossip spreads at half of it;
//! 5. **verified**: every member says `cluster_state:ok`, knows exactly these members and has the planned slot map;
//! 6. each node gets the product's node timeout back and is opened to tenants.
//!
//! The join fence has a second form for every later look: the node is the recorded one, and whatever it owns, knows
//! or has for an epoch is a part of this plan. Anything else ends the task, as MEET would merge two clusters and
//! destroy one of them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fault::Fault;
use crate::ids::{InstanceId, NodeId};
use crate::plan::guests::{self, Peer, bring_up, why_not_fresh};
use crate::plan::{Failure, Limits, Next, Sight, Step, Wait};
use crate::slots::{SlotRange, SlotSet};
use crate::topology::{NodeView, SlotMap};

/// A member of the cluster that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: InstanceId,
    /// Its name, for messages.
    pub name: String,
    /// Its address, once it has a machine.
    pub ip: Option<String>,
    /// Its node's id, once recorded.
    pub node: Option<NodeId>,
    /// The slots it is to own.
    pub slots: SlotRange,
    /// What was seen of it.
    pub sight: Sight,
}

/// The node timeout while `members` nodes form a cluster: the one place that decides it.
///
/// Gossip spreads at half the node timeout, so short is fast; but the pings of a cluster grow with the square of its
/// size over this timeout, and past some sixty nodes on one machine 500 ms are a storm.
pub fn forming_node_timeout(members: usize) -> Duration {
    let members = u64::try_from(members).unwrap_or(u64::MAX);
    Duration::from_millis(members.saturating_mul(10).clamp(500, 15_000))
}

impl Member {
    fn peer<'a>(&'a self, view: &'a NodeView) -> Peer<'a> {
        Peer { node: self.node, ip: self.ip.as_deref(), view }
    }
}

/// What is left of a create that began `elapsed` ago. `members` are in member order.
pub fn remaining(members: &[Member], limits: Limits, elapsed: Duration) -> Next {
    let rising: Vec<_> = members.iter().map(|member| (member.id, &*member.name, &member.sight)).collect();
    if let Some(next) = bring_up(&rising, limits, elapsed) {
        return next;
    }
    let views = members.iter().filter_map(|member| Some((member, member.sight.view()?)));
    form(&views.collect::<Vec<_>>(), limits)
}

/// All members answer: fence, slots, meet, verify, complete.
fn form(ready: &[(&Member, &NodeView)], limits: Limits) -> Next {
    let recorded: BTreeSet<NodeId> = ready.iter().filter_map(|(member, _)| member.node).collect();
    let strangers: Vec<_> = ready
        .iter()
        .enumerate()
        .filter_map(|(order, (member, view))| {
            let found = match member.node {
                None => why_not_fresh(view),
                Some(node) => why_not_ours(node, member.slots, epoch_of(order), view, &recorded),
            };
            found.map(|found| (*member, found))
        })
        .collect();
    if let Some((member, found)) = strangers.first() {
        return Next::Fail(Failure {
            fault: Fault::internal(format!("{} was not let into the cluster: {found}", member.name)),
            members: strangers.iter().map(|(member, found)| (member.id, found.clone())).collect(),
        });
    }
    let unrecorded: Vec<_> = ready.iter().filter(|(member, _)| member.node.is_none()).collect();
    if !unrecorded.is_empty() {
        let fence = |(member, view): &&(&Member, &NodeView)| Step::JoinFence { member: member.id, node: view.myself };
        return Next::Do(unrecorded.iter().map(fence).collect());
    }
    let youngest = ready.iter().map(|(_, view)| view.uptime_seconds).min().unwrap_or(0);
    if Duration::from_secs(youngest) < limits.min_uptime {
        return Next::Wait(Wait {
            name: "wait_uptime",
            progress: format!("the youngest redis-server has been up for {youngest} s"),
            first: Duration::from_millis(50),
            longest: Duration::from_millis(200),
        });
    }
    for steps in [slot_steps(ready), meet_steps(ready)] {
        if !steps.is_empty() {
            return Next::Do(steps);
        }
    }
    if let Some(wait) = wait_for_agreement(ready) {
        return Next::Wait(wait);
    }
    let closed: Vec<_> = ready.iter().filter(|(_, view)| !view.complete).collect();
    if closed.is_empty() {
        return Next::Done;
    }
    Next::Do(closed.iter().map(|(member, _)| Step::Complete { member: member.id }).collect())
}

/// Configuration epochs are 1 to n in member order: distinct, so that nothing has to be resolved.
fn epoch_of(order: usize) -> u64 {
    u64::try_from(order).unwrap_or(u64::MAX).saturating_add(1)
}

/// The other form: what speaks against a node that was recorded as ours.
fn why_not_ours(
    node: NodeId,
    slots: SlotRange,
    epoch: u64,
    view: &NodeView,
    recorded: &BTreeSet<NodeId>,
) -> Option<String> {
    if view.myself != node {
        return Some(format!("its node id is {}, recorded was {node}", view.myself));
    }
    let owned = view.own_slots();
    if !owned.is_subset(&SlotSet::from(slots)) {
        return Some(format!("it owns slots {owned}, planned are {slots}"));
    }
    if ![0, epoch].contains(&view.own_epoch()) {
        return Some(format!("its config epoch is {}, planned is {epoch}", view.own_epoch()));
    }
    let stranger = view.known().into_iter().find(|known| !recorded.contains(known))?;
    Some(format!("it knows node {stranger}, which is not of this cluster"))
}

fn slot_steps(ready: &[(&Member, &NodeView)]) -> Vec<Step> {
    let forming_node_timeout = forming_node_timeout(ready.len());
    let mut steps = Vec::new();
    for (order, (member, view)) in ready.iter().enumerate() {
        let epoch = epoch_of(order);
        let done = view.own_slots() == SlotSet::from(member.slots) && view.own_epoch() == epoch;
        if let (false, Some(node)) = (done, member.node) {
            let (member, slots) = (member.id, member.slots);
            steps.push(Step::AddSlots { member, node, slots, epoch, forming_node_timeout });
        }
    }
    steps
}

/// How many of `members` everyone meets by itself, the first ones; gossip does the rest.
///
/// Few members meet each other all: whom they are not told of, they learn of only with the next ping but one, which
/// may take longer than everything else. The number of handshakes that are asked for is bounded, since each is a
/// call: at a hundred members four hubs take two thirds of the time of one, and more hubs take longer again.
pub fn hubs(members: usize) -> usize {
    (MEETS / members.max(1)).clamp(1, members.max(1))
}

/// About as many handshakes as a formation asks for.
pub(super) const MEETS: usize = 400;

fn meet_steps(ready: &[(&Member, &NodeView)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (order, hub) in ready.iter().enumerate().take(hubs(ready.len())) {
        let others =
            ready.iter().skip(order + 1).filter(|other| hub.0.peer(hub.1).is_stranger_to(&other.0.peer(other.1)));
        steps.extend(others.map(|(member, _)| Step::Meet { member: member.id, with: hub.0.id, joining: None }));
    }
    steps
}

/// Agreement: every member says ok, knows exactly the members, and has the planned slot map.
fn wait_for_agreement(ready: &[(&Member, &NodeView)]) -> Option<Wait> {
    let ids: BTreeSet<NodeId> = ready.iter().filter_map(|(member, _)| member.node).collect();
    let plan: SlotMap =
        ready.iter().filter_map(|(member, _)| Some((member.node?, SlotSet::from(member.slots)))).collect();
    let agree = ready.iter().filter(|(_, v)| v.state_ok && v.known() == ids && v.slot_map() == plan).count();
    if agree == ready.len() {
        return None;
    }
    Some(guests::wait_for_agreement(agree, ready.len()))
}

#[cfg(test)]
mod tests;
