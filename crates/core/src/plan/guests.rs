//! Members as plans see them, and how new ones come up: what create and grow share.

use std::time::Duration;

use crate::fault::Fault;
use crate::ids::{InstanceId, NodeId};
use crate::instance::REDIS_PORT;
use crate::plan::{Failure, Next, Step, Wait};
use crate::topology::NodeView;

/// What was seen of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It has no machine yet.
    NoMachine,
    /// Its agent does not answer (yet), for this reason.
    Silent(String),
    /// Its agent has not been told what to run.
    Unprepared,
    /// Its redis-server does not answer (yet): its agent's sentence about it.
    Starting(String),
    /// It answered.
    View(Box<NodeView>),
}

impl Sight {
    /// The member's own view of its cluster, if it answered.
    pub fn view(&self) -> Option<&NodeView> {
        match self {
            Self::View(view) => Some(view),
            _ => None,
        }
    }
}

/// A member of a cluster that exists, or that joins one.
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
    /// It serves: the cluster, or its part of it, was formed. A joiner does not, nor does one whose grow failed.
    pub serves: bool,
    /// What was seen of it.
    pub sight: Sight,
}

impl Member {
    /// Its view, if it answered as the node that was recorded. One with another id has lost its identity: what it
    /// says of its cluster says nothing of this one.
    pub(super) fn live(&self) -> Option<&NodeView> {
        self.sight.view().filter(|view| self.node == Some(view.myself))
    }

    /// It as one to shake hands with, given its view.
    pub(super) fn peer<'a>(&'a self, view: &'a NodeView) -> Peer<'a> {
        Peer { node: self.node, ip: self.ip.as_deref(), view }
    }
}

/// The limits that an operation keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long new guests may take to be ready (`usage_timeout`), and others to answer and to agree.
    pub guests_ready: Duration,
    /// How long every redis-server must have been up before the cluster forms; zero but for measurements.
    pub min_uptime: Duration,
}

/// A member that comes up: its id, its name, what was seen of it.
pub(super) type Rising<'a> = (InstanceId, &'a str, &'a Sight);

/// What is left until every one of `rising` has a redis-server that answers; nothing when all do.
pub(super) fn bring_up(rising: &[Rising<'_>], limits: Limits, elapsed: Duration) -> Option<Next> {
    let ready = rising.iter().filter(|(_, _, sight)| sight.view().is_some()).count();
    if ready == rising.len() {
        return None;
    }
    if elapsed > limits.guests_ready {
        return Some(too_late(rising, limits));
    }
    let steps: Vec<Step> = rising.iter().filter_map(build_step).collect();
    if !steps.is_empty() {
        return Some(Next::Do(steps));
    }
    Some(Next::Wait(Wait {
        name: "wait_guests",
        progress: format!("{ready} of {} guests are ready", rising.len()),
        first: Duration::from_millis(20),
        longest: Duration::from_millis(500),
    }))
}

/// The step that brings one member closer to having a redis-server, whatever the others do.
fn build_step((member, _, sight): &Rising<'_>) -> Option<Step> {
    let member = *member;
    match sight {
        Sight::NoMachine => Some(Step::EnsureMachine { member }),
        Sight::Unprepared => Some(Step::Prepare { member }),
        Sight::Silent(_) | Sight::Starting(_) | Sight::View(_) => None,
    }
}

/// The guests took too long, whatever the reason is: a provider that builds for ever is no better than a silent agent.
fn too_late(rising: &[Rising<'_>], limits: Limits) -> Next {
    let late: Vec<_> = rising
        .iter()
        .filter_map(|(member, _, sight)| {
            let why = match sight {
                Sight::View(_) => return None,
                Sight::NoMachine => "it has no machine".to_owned(),
                Sight::Silent(detail) => format!("its guest agent does not answer: {detail}"),
                Sight::Unprepared => "it is not prepared".to_owned(),
                Sight::Starting(sentence) => sentence.clone(),
            };
            Some((*member, format!("not ready within {} s: {why}", limits.guests_ready.as_secs())))
        })
        .collect();
    let names: Vec<_> =
        rising.iter().filter(|(_, _, sight)| sight.view().is_none()).map(|(_, name, _)| *name).collect();
    Next::Fail(Failure {
        fault: Fault::unavailable(format!(
            "not ready within {} s: {}",
            limits.guests_ready.as_secs(),
            names.join(", ")
        )),
        members: late,
    })
}

/// The fresh form of the join fence: what speaks against a node that was never looked at before.
pub(super) fn why_not_fresh(view: &NodeView) -> Option<String> {
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

/// Whom a member is to shake hands with, as far as that is known.
pub(super) struct Peer<'a> {
    /// Its recorded node id.
    pub(super) node: Option<NodeId>,
    /// Its address.
    pub(super) ip: Option<&'a str>,
    /// Its own view.
    pub(super) view: &'a NodeView,
}

impl Peer<'_> {
    fn knows(&self, other: &Self) -> bool {
        other.node.is_some_and(|node| self.view.node(node).is_some())
    }

    fn is_shaking_hands_with(&self, other: &Self) -> bool {
        other.ip.is_some_and(|ip| self.view.is_shaking_hands_with(ip, REDIS_PORT))
    }

    /// Whether one of the two does not know the other, and they are not about to. A handshake that runs is left
    /// alone; one that was dropped shows as nothing at all and is begun again.
    pub(super) fn is_stranger_to(&self, other: &Self) -> bool {
        let acquainted = self.knows(other) && other.knows(self);
        !(acquainted || self.is_shaking_hands_with(other) || other.is_shaking_hands_with(self))
    }
}

/// The wait for `all` members to agree, `agree` of which do. Looking costs the nodes time that their gossip needs,
/// most of all where many share a machine.
pub(super) fn wait_for_agreement(agree: usize, all: usize) -> Wait {
    let pause = Duration::from_millis(u64::try_from(all).unwrap_or(u64::MAX).clamp(10, 200));
    Wait {
        name: "verify",
        progress: format!("{agree} of {all} members agree"),
        first: pause,
        longest: pause.saturating_mul(2),
    }
}
