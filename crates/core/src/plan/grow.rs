//! Growing a cluster: new members that are empty masters, without slots.
//!
//! 1. every joiner gets a machine and a redis-server, each for itself, while the cluster serves as before;
//! 2. each joiner passes the **join fence** in its fresh form, and its node id is recorded;
//! 3. whatever the members remember of nodes that were removed is forgotten, or a joiner would learn of it;
//! 4. each joiner meets every live member and every other joiner. Only joiners run a short node timeout, as they serve
//!    nothing and do not vote: a serving member's is never changed;
//! 5. **verified**: every live member and every joiner knows all of them, and the joiners know who owns the slots;
//! 6. the joiners get the product's node timeout and are opened to tenants.
//!
//! A member that does not answer is neither met nor waited for: gossip tells it later. No slot is moved and no member
//! that serves is changed, so a grow that fails leaves the cluster as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fault::Fault;
use crate::ids::NodeId;
use crate::plan::create::{MEETS, forming_node_timeout};
use crate::plan::guests::{self, Member, bring_up, why_not_fresh};
use crate::plan::strays::strays;
use crate::plan::{Failure, Joining, Limits, Next, Step, Wait};
use crate::slots::SlotSet;
use crate::topology::NodeView;

/// A cluster that grows.
#[derive(Debug, Clone, Copy)]
pub struct Growing<'a> {
    /// The members that serve, in member order.
    pub serving: &'a [Member],
    /// Those that join, in member order.
    pub joiners: &'a [Member],
    /// The ids of all nodes of this cluster that may be known in it, those of members whose grow failed included.
    pub ours: &'a BTreeSet<NodeId>,
    /// The ids of nodes that were removed and that somebody may remember.
    pub removed: &'a BTreeSet<NodeId>,
}

/// A member with its view.
type Seen<'a> = (&'a Member, &'a NodeView);

/// What is left of a grow that began `elapsed` ago.
pub fn remaining(growing: &Growing<'_>, limits: Limits, elapsed: Duration) -> Next {
    if growing.serving.is_empty() {
        return fail("the cluster has no member that could be joined: it was never formed");
    }
    let rising: Vec<_> = growing.joiners.iter().map(|joiner| (joiner.id, &*joiner.name, &joiner.sight)).collect();
    if let Some(next) = bring_up(&rising, limits, elapsed) {
        return next;
    }
    let live: Vec<Seen<'_>> = growing.serving.iter().filter_map(|member| Some((member, member.live()?))).collect();
    let joiners: Vec<Seen<'_>> = growing.joiners.iter().filter_map(|j| Some((j, j.sight.view()?))).collect();
    let patience = limits.guests_ready.saturating_mul(2);
    if live.is_empty() {
        if elapsed > patience {
            return fail("no member of the cluster answers");
        }
        return Next::Wait(wait("wait_members", format!("none of {} members answers", growing.serving.len())));
    }
    match join(growing, &live, &joiners) {
        Next::Wait(wait) if elapsed > patience => fail(&format!("the members do not agree: {}", wait.progress)),
        next => next,
    }
}

fn fail(message: &str) -> Next {
    Next::Fail(Failure { fault: Fault::unavailable(message), members: Vec::new() })
}

fn wait(name: &'static str, progress: String) -> Wait {
    Wait { name, progress, first: Duration::from_millis(20), longest: Duration::from_millis(500) }
}

fn join(growing: &Growing<'_>, live: &[Seen<'_>], joiners: &[Seen<'_>]) -> Next {
    let views: Vec<&NodeView> = live.iter().chain(joiners).map(|(_, view)| *view).collect();
    let strays = strays(&views, growing.ours, growing.removed);
    if let Some(failure) = why_not(growing, live, joiners, &strays) {
        return Next::Fail(failure);
    }
    let unrecorded: Vec<_> = joiners.iter().filter(|(joiner, _)| joiner.node.is_none()).collect();
    if !unrecorded.is_empty() {
        let fence = |(joiner, view): &&Seen<'_>| Step::JoinFence { member: joiner.id, node: view.myself };
        return Next::Do(unrecorded.iter().map(fence).collect());
    }
    if !strays.is_empty() {
        let everyone = live.iter().chain(joiners);
        return Next::Do(everyone.map(|(m, _)| Step::Forget { member: m.id, nodes: strays.clone() }).collect());
    }
    let meets = meet_steps(live, joiners);
    if !meets.is_empty() {
        return Next::Do(meets);
    }
    if let Some(wait) = wait_for_agreement(live, joiners) {
        return Next::Wait(wait);
    }
    let closed: Vec<_> = joiners.iter().filter(|(_, view)| !view.complete).collect();
    if closed.is_empty() {
        return Next::Done;
    }
    Next::Do(closed.iter().map(|(joiner, _)| Step::Complete { member: joiner.id }).collect())
}

/// What speaks against letting the joiners in, or against the cluster itself.
fn why_not(growing: &Growing<'_>, live: &[Seen<'_>], joiners: &[Seen<'_>], strays: &[NodeId]) -> Option<Failure> {
    let stranger = |view: &NodeView| {
        let stranger = view.known().into_iter().find(|id| !growing.ours.contains(id) && !strays.contains(id))?;
        Some(format!("it knows node {stranger}, which is not of this cluster"))
    };
    let refused: Vec<_> = joiners
        .iter()
        .filter_map(|(joiner, view)| {
            let found = match joiner.node {
                None => why_not_fresh(view),
                Some(node) if view.myself != node => {
                    Some(format!("its node id is {}, recorded was {node}", view.myself))
                }
                Some(_) if view.nodes.len() == 1 && !view.own_slots().is_empty() => {
                    Some(format!("it owns slots {} although it never met anyone", view.own_slots()))
                }
                Some(_) => stranger(view),
            };
            found.map(|found| (*joiner, found))
        })
        .collect();
    if let Some((joiner, found)) = refused.first() {
        return Some(Failure {
            fault: Fault::internal(format!("{} was not let into the cluster: {found}", joiner.name)),
            members: refused.iter().map(|(joiner, found)| (joiner.id, found.clone())).collect(),
        });
    }
    // Members that serve are not at fault for a grow: only the cluster shows it.
    let (member, found) = live.iter().find_map(|(member, view)| Some((member, stranger(view)?)))?;
    Some(Failure { fault: Fault::internal(format!("{}: {found}", member.name)), members: Vec::new() })
}

/// Every joiner meets everyone, or, where that would be very many handshakes, the first ones.
fn meet_steps(live: &[Seen<'_>], joiners: &[Seen<'_>]) -> Vec<Step> {
    let all = live.len().saturating_add(joiners.len());
    let forming_node_timeout = forming_node_timeout(all);
    let hubs = (MEETS / joiners.len().max(1)).clamp(1, all.max(1));
    let mut steps = Vec::new();
    for (order, joiner) in joiners.iter().enumerate() {
        let Some(node) = joiner.0.node else { continue };
        // Of two joiners the later one asks.
        let whom = live.iter().chain(joiners.iter().take(order)).take(hubs);
        let strangers = whom.filter(|(other, view)| joiner.0.peer(joiner.1).is_stranger_to(&other.peer(view)));
        let joining = Some(Joining { node, forming_node_timeout });
        steps.extend(strangers.map(|(other, _)| Step::Meet { member: joiner.0.id, with: other.id, joining }));
    }
    steps
}

/// Agreement: everyone knows everyone, and a joiner knows an owner for each slot whose owner answers, so that it sends
/// clients on. Who that owner is may change at any moment, where tenants move slots. What a member owns that does not
/// answer, nobody can tell a joiner but that member itself.
fn wait_for_agreement(live: &[Seen<'_>], joiners: &[Seen<'_>]) -> Option<Wait> {
    let everyone: BTreeSet<NodeId> = live.iter().chain(joiners).map(|(_, view)| view.myself).collect();
    let all_ok = live.iter().all(|(_, view)| view.state_ok);
    let served = |view: &NodeView| owned(view, |owner| everyone.contains(&owner));
    let served = live.iter().map(|(_, view)| served(view)).max_by_key(SlotSet::count).unwrap_or_default();
    let knows_all = |view: &NodeView| everyone.is_subset(&view.known());
    let agree = live.iter().filter(|(_, view)| knows_all(view)).count()
        + joiners
            .iter()
            .filter(|(_, view)| {
                knows_all(view) && (view.state_ok || !all_ok) && served.is_subset(&owned(view, |_| true))
            })
            .count();
    if agree == everyone.len() {
        return None;
    }
    Some(guests::wait_for_agreement(agree, everyone.len()))
}

/// The slots that have such an owner in a view.
fn owned(view: &NodeView, such: impl Fn(NodeId) -> bool) -> SlotSet {
    let owners = view.slot_map().into_iter().filter(|(owner, _)| such(*owner));
    owners.fold(SlotSet::empty(), |all, (_, slots)| all.union(&slots))
}

#[cfg(test)]
mod tests;
