//! Shrinking a cluster: members that own no slots leave it, and their machines go.
//!
//! 1. **the verdict**: no leaver owns a slot, or takes part in a slot move, in the view of any member that answers, and
//!    most of those that stay answer. A live leaver is closed to tenants first and everybody is asked again, since a
//!    tenant's reshard would otherwise give it a slot between the question and the answer. One that does not answer has
//!    to be failed for all the others: an agent that is silent says nothing of a node, which may serve, and take slots;
//! 2. a live leaver is emptied and forgets its cluster and its id (`CLUSTER RESET HARD`); the machine of a dead one is
//!    removed, so that it cannot come back. From then on every other member owes a FORGET;
//! 3. all members that answer forget the leavers in one burst, as each of them refuses to hear of a forgotten node for
//!    no longer than a minute. One that does not answer goes on owing, and is made to pay when it is back;
//! 4. the leavers' machines go. Their addresses are held back until nobody remembers their nodes.
//!
//! A member that stays is never changed otherwise, and neither slots nor keys are moved: tenants do that before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::fault::{Fault, FaultKind};
use crate::ids::{InstanceId, NodeId};
use crate::plan::guests::Member;
use crate::plan::strays::strays;
use crate::plan::{Failure, Limits, Next, Step, Wait};
use crate::topology::{NodeView, Reach};

/// A leaver that is closed for less than this is closed again before it is emptied.
const CLOSED_LONG_ENOUGH: Duration = Duration::from_secs(30);

/// A member that is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// The member.
    pub member: Member,
    /// It has left: its node is recorded as removed, where it had one.
    pub out: bool,
}

/// A cluster that shrinks. Leavers whose machines are gone are not in it any more.
#[derive(Debug, Clone, Copy)]
pub struct Shrinking<'a> {
    /// The members that stay, in member order.
    pub staying: &'a [Member],
    /// Those that are to leave, in member order.
    pub leavers: &'a [Leaver],
    /// The shrink was allowed.
    pub accepted: bool,
    /// The ids of all nodes of this cluster that may be known in it.
    pub ours: &'a BTreeSet<NodeId>,
    /// The nodes that were removed from the cluster and that somebody may remember, each with the members that owe a
    /// FORGET.
    pub removed: &'a BTreeMap<NodeId, BTreeSet<InstanceId>>,
}

/// A member with its view.
type Seen<'a> = (&'a Member, &'a NodeView);

/// What is left of a shrink that began `elapsed` ago.
pub fn remaining(shrinking: &Shrinking<'_>, limits: Limits, elapsed: Duration) -> Next {
    let live: Vec<Seen<'_>> = shrinking.staying.iter().filter_map(|member| Some((member, member.live()?))).collect();
    let inside: Vec<&Member> = shrinking.leavers.iter().filter(|l| !l.out).map(|leaver| &leaver.member).collect();
    if !inside.is_empty() {
        return leave(shrinking, &live, &inside, limits, elapsed);
    }
    // A member that answers but cannot be made to forget keeps nobody for ever: the debt is recorded.
    if elapsed <= limits.guests_ready.saturating_mul(2)
        && let Some(burst) = forget(&live, shrinking.removed)
    {
        return burst;
    }
    if !shrinking.accepted {
        // All left already in a shrink that failed later; what is left needs nobody's consent.
        return Next::Do(vec![Step::Accept]);
    }
    if shrinking.leavers.is_empty() {
        return Next::Done;
    }
    Next::Do(shrinking.leavers.iter().map(|leaver| remove(&leaver.member)).collect())
}

fn remove(leaver: &Member) -> Step {
    // A node that was never recorded never met anyone.
    Step::Remove { member: leaver.id, hold_address: leaver.node.is_some() }
}

/// The leavers that are still `inside`: may they leave, and if so, out they go.
fn leave(shrinking: &Shrinking<'_>, live: &[Seen<'_>], inside: &[&Member], limits: Limits, elapsed: Duration) -> Next {
    let quorum = Quorum::of(shrinking.staying, live);
    if !shrinking.accepted && !quorum.is_there() {
        if elapsed > limits.guests_ready {
            return fail(Fault::unavailable(format!("only {quorum} answer, which is no majority")));
        }
        return Next::Wait(Wait {
            name: "wait_members",
            progress: format!("{quorum} answer"),
            first: Duration::from_millis(20),
            longest: Duration::from_millis(500),
        });
    }
    let serving: Vec<&Member> = inside.iter().filter(|leaver| !may_go(leaver, &quorum, live)).copied().collect();
    let live_leavers: Vec<Seen<'_>> = inside.iter().filter_map(|leaver| Some((*leaver, leaver.live()?))).collect();
    let views: Vec<&NodeView> = live.iter().chain(&live_leavers).map(|(_, view)| *view).collect();
    let holders: Vec<&Member> = inside.iter().filter(|leaver| holds_slots(leaver, &views)).copied().collect();
    if !holders.is_empty() {
        return refuse(shrinking.accepted, &holders, &live_leavers);
    }
    if shrinking.accepted {
        if elapsed > limits.guests_ready.saturating_mul(2) {
            return fail(Fault::unavailable(format!("{} cannot be made to leave", names(inside))));
        }
        // One that is open, as nobody worked for so long or as it was silent until now, is closed before it is emptied.
        let next = |leaver: &&Member| match live_leavers.iter().find(|(live, _)| live.id == leaver.id) {
            Some(live) => close(live).unwrap_or_else(|| out(leaver)),
            None => out(leaver),
        };
        let ready: Vec<Step> = inside.iter().filter(|leaver| may_go(leaver, &quorum, live)).map(next).collect();
        return if ready.is_empty() { wait_until_failed(&serving) } else { Next::Do(ready) };
    }
    if !serving.is_empty() {
        if elapsed > limits.guests_ready {
            let names = names(&serving);
            return fail(Fault::unavailable(format!(
                "the guest agents of {names} do not answer, and their nodes may serve"
            )));
        }
        return wait_until_failed(&serving);
    }
    let removed: BTreeSet<NodeId> = shrinking.removed.keys().copied().collect();
    let strays = strays(&views, shrinking.ours, &removed);
    if !strays.is_empty() {
        let forget = |(member, _): &Seen<'_>| Step::Forget { member: member.id, nodes: strays.clone() };
        return Next::Do(live.iter().chain(&live_leavers).map(forget).collect());
    }
    let open: Vec<Step> = live_leavers.iter().filter_map(close).collect();
    Next::Do(if open.is_empty() { vec![Step::Accept] } else { open })
}

/// Closes the leaver if it is open, or soon will be. One that was never complete was never open.
fn close((leaver, view): &Seen<'_>) -> Option<Step> {
    let is_open = view.complete && view.closed_for.is_none_or(|left| left < CLOSED_LONG_ENOUGH);
    leaver.node.filter(|_| is_open).map(|node| Step::Close { member: leaver.id, node })
}

/// Whether the leaver can go: alive, or with its machine since it serves nobody. That is so if it never met anyone, or if
/// most of those that stay answer, and it is failed for all of them: then they have not heard of it for a node timeout,
/// and nobody moves a slot to it. Of one that serves somebody has to say so who serves, too: who never met it knows
/// nothing of it.
fn may_go(leaver: &Member, quorum: &Quorum, live: &[Seen<'_>]) -> bool {
    let Some(node) = leaver.node else { return true };
    let is_failed = |view: &NodeView| view.node(node).is_none_or(|line| line.noaddr || line.reach == Reach::Failed);
    let is_known = quorum.answer > 0 || !leaver.serves;
    answers(leaver, node) || (is_known && quorum.is_there() && live.iter().all(|(_, view)| is_failed(view)))
}

fn wait_until_failed(serving: &[&Member]) -> Next {
    Next::Wait(Wait {
        name: "wait_leavers",
        progress: format!("{} may serve, though nobody answers there", names(serving)),
        first: Duration::from_millis(50),
        longest: Duration::from_secs(1),
    })
}

/// Whether the leaver's agent speaks for the node that was recorded.
fn answers(leaver: &Member, node: NodeId) -> bool {
    leaver.sight.view().is_some_and(|view| view.left == Some(node) || view.myself == node)
}

/// How a leaver goes out: alive, by its own agent; otherwise with its machine.
fn out(leaver: &Member) -> Step {
    match leaver.node {
        Some(node) if answers(leaver, node) => Step::Leave { member: leaver.id, node },
        _ => remove(leaver),
    }
}

/// Whether the leaver owns slots, or takes part in a slot move, in one of the views.
fn holds_slots(leaver: &Member, views: &[&NodeView]) -> bool {
    let Some(node) = leaver.node else { return false };
    views.iter().any(|view| {
        let owns = view.node(node).is_some_and(|line| !line.slots.is_empty());
        let moves = view.own().is_some_and(|own| {
            let mut peers = own.migrating.iter().chain(&own.importing);
            peers.any(|(_, peer)| view.myself == node || *peer == node)
        });
        owns || moves
    })
}

/// Leavers that hold slots stay, with all others of this shrink, as they were before it.
fn refuse(accepted: bool, holders: &[&Member], live_leavers: &[Seen<'_>]) -> Next {
    let closed: Vec<Step> = live_leavers
        .iter()
        .filter(|(_, view)| view.closed_for.is_some())
        .filter_map(|(leaver, _)| Some(Step::Reopen { member: leaver.id, node: leaver.node? }))
        .collect();
    if !closed.is_empty() {
        return Next::Do(closed);
    }
    let message = format!("One or more nodes have data slots assigned: {}.", names(holders));
    if accepted {
        // Nobody waits for a verdict any more, and it was another one.
        return fail(Fault::new(FaultKind::Conflict, message));
    }
    Next::Refuse(Fault::forbidden(message))
}

/// Nobody's fault but the shrink's.
fn fail(fault: Fault) -> Next {
    Next::Fail(Failure { fault, members: Vec::new() })
}

fn names(members: &[&Member]) -> String {
    members.iter().map(|member| &*member.name).collect::<Vec<_>>().join(", ")
}

/// The burst: once anybody who answers owes or remembers, all who answer forget everything that was removed.
fn forget(live: &[Seen<'_>], removed: &BTreeMap<NodeId, BTreeSet<InstanceId>>) -> Option<Next> {
    let due = live.iter().any(|(member, view)| {
        let known = view.known();
        removed.iter().any(|(node, debtors)| known.contains(node) || debtors.contains(&member.id))
    });
    let nodes: Vec<NodeId> = removed.keys().copied().collect();
    let step = |(member, _): &Seen<'_>| Step::Forget { member: member.id, nodes: nodes.clone() };
    due.then(|| Next::Do(live.iter().map(step).collect()))
}

/// How many of the members that stay and serve answer. More than half are asked for: one that was cut off may
/// have missed who got which slot.
struct Quorum {
    answer: usize,
    of: usize,
}

impl Quorum {
    fn of(staying: &[Member], live: &[Seen<'_>]) -> Self {
        let serving = |members: &mut dyn Iterator<Item = &Member>| members.filter(|member| member.serves).count();
        Self { answer: serving(&mut live.iter().map(|(member, _)| *member)), of: serving(&mut staying.iter()) }
    }

    fn is_there(&self) -> bool {
        self.of == 0 || self.answer * 2 > self.of
    }
}

impl std::fmt::Display for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of the {} members that stay", self.answer, self.of)
    }
}

#[cfg(test)]
mod tests;
