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
use crate::instance::REDIS_PORT;
use crate::plan::{Failure, Next, Step, Wait};
use crate::slots::{SlotRange, SlotSet};
use crate::topology::{NodeView, SlotMap};

/// What was seen of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It has no machine yet.
    NoMachine,
    /// Its agent does not answer (yet), for this reason.
    Silent(String),
    /// Its agent has not been told what to run.
    Unprepared,
    /// Its redis-server does not answer (yet), for this reason.
    Starting(String),
    /// It answered.
    View(Box<NodeView>),
}

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

/// The limits that a create keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long guests may take to be ready (`usage_timeout`).
    pub guests_ready: Duration,
    /// How long every redis-server must have been up before the cluster forms; zero but for measurements.
    pub min_uptime: Duration,
}

/// The node timeout while `members` nodes form a cluster: the one place that decides it.
///
/// Gossip spreads at half the node timeout, so short is fast; but the pings of a cluster grow with the square of its
/// size over this timeout, and past some sixty nodes on one machine 500 ms are a storm.
pub fn forming_node_timeout(members: usize) -> Duration {
    let members = u64::try_from(members).unwrap_or(u64::MAX);
    Duration::from_millis(members.saturating_mul(10).clamp(500, 15_000))
}

/// What is left of a create that began `elapsed` ago. `members` are in member order.
pub fn remaining(members: &[Member], limits: Limits, elapsed: Duration) -> Next {
    let mut ready = Vec::with_capacity(members.len());
    for member in members {
        if let Sight::View(view) = &member.sight {
            ready.push((member, view.as_ref()));
        }
    }
    if ready.len() == members.len() {
        return form(&ready, limits);
    }
    if elapsed > limits.guests_ready {
        return too_late(members, limits);
    }
    let steps: Vec<Step> = members.iter().filter_map(build_step).collect();
    if !steps.is_empty() {
        return Next::Do(steps);
    }
    Next::Wait(Wait {
        name: "wait_guests",
        progress: format!("{} of {} guests are ready", ready.len(), members.len()),
        first: Duration::from_millis(20),
        longest: Duration::from_millis(500),
    })
}

/// The step that brings one member closer to having a redis-server, whatever the others do.
fn build_step(member: &Member) -> Option<Step> {
    match member.sight {
        Sight::NoMachine => Some(Step::EnsureMachine { member: member.id }),
        Sight::Unprepared => Some(Step::Prepare { member: member.id }),
        Sight::Silent(_) | Sight::Starting(_) | Sight::View(_) => None,
    }
}

/// The guests took too long, whatever the reason is: a provider that builds for ever is no better than a silent agent.
fn too_late(members: &[Member], limits: Limits) -> Next {
    let late: Vec<_> = members
        .iter()
        .filter_map(|member| {
            let why = match &member.sight {
                Sight::View(_) => return None,
                Sight::NoMachine => "it has no machine".to_owned(),
                Sight::Silent(detail) => format!("its guest agent does not answer: {detail}"),
                Sight::Unprepared => "it is not prepared".to_owned(),
                Sight::Starting(detail) => format!("its redis-server does not answer: {detail}"),
            };
            Some((member.id, format!("not ready within {} s: {why}", limits.guests_ready.as_secs())))
        })
        .collect();
    let names: Vec<_> = members.iter().filter(|m| late.iter().any(|(id, _)| *id == m.id)).map(|m| &*m.name).collect();
    Next::Fail(Failure {
        fault: Fault::unavailable(format!(
            "not ready within {} s: {}",
            limits.guests_ready.as_secs(),
            names.join(", ")
        )),
        members: late,
    })
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

/// The fresh form of the join fence: what speaks against a node that was never looked at before.
fn why_not_fresh(view: &NodeView) -> Option<String> {
    let slots = view.own_slots();
    // A handshake with whomever counts here: a node that was never touched has none.
    let known = view.nodes.len();
    if !slots.is_empty() {
        Some(format!("a new node owns slots {slots}"))
    } else if view.keys != 0 {
        Some(format!("a new node holds {} keys", view.keys))
    } else if known != 1 {
        Some(format!("a new node knows {} other nodes", known.saturating_sub(1)))
    } else if view.own_epoch() != 0 {
        Some(format!("a new node has config epoch {}", view.own_epoch()))
    } else {
        None
    }
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
const MEETS: usize = 400;

/// A handshake that runs is left alone; one that was dropped shows as nothing at all and is begun again.
fn meet_steps(ready: &[(&Member, &NodeView)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (order, hub) in ready.iter().enumerate().take(hubs(ready.len())) {
        let others = ready.iter().skip(order + 1).filter(|other| are_strangers(hub, other));
        steps.extend(others.map(|(member, _)| Step::Meet { member: member.id, with: hub.0.id }));
    }
    steps
}

/// Whether one of two members does not know the other, and they are not about to.
fn are_strangers((one, one_view): &(&Member, &NodeView), (other, other_view): &(&Member, &NodeView)) -> bool {
    let knows = |view: &NodeView, member: &Member| member.node.is_some_and(|node| view.node(node).is_some());
    let shakes = |view: &NodeView, member: &Member| {
        member.ip.as_ref().is_some_and(|ip| view.is_shaking_hands_with(ip, REDIS_PORT))
    };
    let acquainted = knows(one_view, other) && knows(other_view, one);
    !(acquainted || shakes(one_view, other) || shakes(other_view, one))
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
    // Looking costs the nodes time that their gossip needs, most of all where many share a machine.
    let pause = Duration::from_millis(u64::try_from(ready.len()).unwrap_or(u64::MAX).clamp(10, 200));
    Some(Wait {
        name: "verify",
        progress: format!("{agree} of {} members agree", ready.len()),
        first: pause,
        longest: pause.saturating_mul(2),
    })
}

#[cfg(test)]
mod tests;
