//! The agents beside the nodes.

use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::instance::RedisState;
use redtrove_core::plan::Joining;
use redtrove_core::topology::Reach;
use redtrove_core::{InstanceId, NodeId, SlotRange, SlotSet};

use super::chaos::Trouble;
use super::mutation::Mutation;
use super::nodes::{BAN, CLOSED, Node};
use super::{Call, Incarnation, State};
use crate::ports::{Guest, GuestError, GuestStatus, Guests, Order, PrepareSpec, Seen};

/// [`Guests`] of a simulated world.
#[derive(Debug, Clone)]
pub struct SimGuests(pub(super) Incarnation);

fn fail(trouble: Trouble) -> GuestError {
    match trouble {
        Trouble::Transient => GuestError::Silent("simulated".to_owned()),
        Trouble::Permanent => GuestError::Refused("simulated".to_owned()),
    }
}

fn refuse<T>(why: &str) -> Result<T, GuestError> {
    Err(GuestError::Refused(why.to_owned()))
}

impl State {
    /// The agent answers if its machine exists at the address.
    fn guest(&self, guest: &Guest) -> Result<(), GuestError> {
        let cut = self.nodes.get(guest.instance).is_some_and(|node| node.down || node.silent);
        if self.machines.has(guest.instance, &guest.ip) && !cut {
            Ok(())
        } else {
            Err(GuestError::Silent("no machine".to_owned()))
        }
    }

    /// The node of a guest, for a change in the name of `order`.
    fn node_for_change(&mut self, guest: &Guest, order: &Order) -> Result<&mut Node, GuestError> {
        self.guest(guest)?;
        let fenced = self.mutation != Some(Mutation::GuestsObeyAnyGeneration);
        let Some(node) = self.nodes.touch(guest.instance) else { return refuse("not prepared") };
        if order.generation < node.generation && fenced {
            return Err(GuestError::OldGeneration { seen: node.generation });
        }
        node.generation = node.generation.max(order.generation);
        if node.stopped {
            return Err(GuestError::RedisDown("redis-server does not run".to_owned()));
        }
        Ok(node)
    }

    fn prepare(&mut self, guest: &Guest, order: &Order, spec: &PrepareSpec, now: Duration) -> Result<(), GuestError> {
        self.guest(guest)?;
        if self.nodes.get(guest.instance).is_some() {
            let node = self.node_for_change(guest, order)?;
            return if node.cluster == spec.cluster { Ok(()) } else { refuse("another cluster") };
        }
        let Some(id) = self.nodes.new_id() else { return refuse("no more ids") };
        let node = Node::fresh(id, spec.cluster, &guest.ip, order.generation, now);
        self.nodes.insert(guest.instance, node);
        Ok(())
    }

    /// The node of a guest for a change, if it is `wanted`.
    fn this_node(&mut self, guest: &Guest, order: &Order, wanted: NodeId) -> Result<&mut Node, GuestError> {
        let node = self.node_for_change(guest, order)?;
        if node.id == wanted { Ok(node) } else { refuse("another node") }
    }

    /// The node of a guest for a change, if it is one that may be in a cluster.
    fn member(&mut self, guest: &Guest, order: &Order) -> Result<&mut Node, GuestError> {
        let node = self.node_for_change(guest, order)?;
        if node.left.is_none() { Ok(node) } else { refuse("it left its cluster") }
    }

    fn leave(&mut self, guest: &Guest, order: &Order, wanted: NodeId, now: Duration) -> Result<(), GuestError> {
        if self.node_for_change(guest, order)?.left == Some(wanted) {
            return Ok(());
        }
        let Some(new_id) = self.nodes.new_id() else { return refuse("no more ids") };
        let node = self.this_node(guest, order, wanted)?;
        let shut = !node.complete || node.closed_until.is_some_and(|until| now < until);
        let busy = !node.slots.is_empty() || !node.migrating.is_empty() || !node.importing.is_empty();
        if !shut || busy {
            return refuse("it is open, or has slots");
        }
        *node = Node {
            slots: SlotSet::empty(),
            complete: node.complete,
            closed_until: node.closed_until,
            left: Some(wanted),
            started: node.started,
            ..Node::fresh(new_id, node.cluster, &node.ip.clone(), node.generation, now)
        };
        Ok(())
    }

    fn add_slots(&mut self, guest: &Guest, order: &Order, want: &AddSlots) -> Result<(), GuestError> {
        let node = self.member(guest, order)?;
        if node.id != want.node {
            return refuse("another node");
        }
        let slots = SlotSet::from(want.slots);
        if node.slots == slots && node.epoch == want.epoch {
            return Ok(());
        }
        if node.complete {
            return refuse("complete");
        }
        if ![0, want.epoch].contains(&node.epoch) || (node.epoch == 0 && !node.known.is_empty()) {
            return refuse("the epoch cannot be set");
        }
        if !node.slots.is_subset(&slots) {
            return refuse("it owns other slots");
        }
        node.epoch = want.epoch;
        node.slots = slots;
        Ok(())
    }

    fn meet(
        &mut self,
        guest: &Guest,
        order: &Order,
        ip: &str,
        joining: Option<Joining>,
        now: Duration,
    ) -> Result<(), GuestError> {
        let peer = self.machines.at(ip).and_then(|peer| self.nodes.get(peer)).map(|peer| peer.id);
        let node = self.member(guest, order)?;
        if joining.is_some_and(|joining| joining.node != node.id) {
            return refuse("another node");
        }
        if peer.is_none_or(|peer| !node.known.contains_key(&peer)) {
            node.handshakes.entry(ip.to_owned()).or_insert(now);
        }
        Ok(())
    }

    fn remove_nodes(
        &mut self,
        guest: &Guest,
        order: &Order,
        nodes: &[NodeId],
        now: Duration,
    ) -> Result<(), GuestError> {
        let deaf = self.mutation == Some(Mutation::NodesForgetNobody);
        let node = self.node_for_change(guest, order)?;
        for forgotten in nodes.iter().filter(|forgotten| **forgotten != node.id && !deaf) {
            node.known.remove(forgotten);
            node.heard.remove(forgotten);
            node.banned.insert(*forgotten, now + BAN);
        }
        Ok(())
    }
}

struct AddSlots {
    node: NodeId,
    slots: SlotRange,
    epoch: u64,
}

impl SimGuests {
    async fn look<T: Send + 'static>(
        &self,
        name: &'static str,
        guest: &Guest,
        effect: impl FnMut(&mut State, &Guest, Duration) -> Result<T, GuestError> + Send + 'static,
    ) -> Result<T, GuestError> {
        let (guest, mut effect) = (guest.clone(), effect);
        let call = Call::guest(name, guest.instance, None);
        self.0.call(call, move |state, now| effect(state, &guest, now), fail).await
    }

    async fn change(
        &self,
        name: &'static str,
        guest: &Guest,
        order: &Order,
        effect: impl FnMut(&mut State, &Guest, &Order, Duration) -> Result<(), GuestError> + Send + 'static,
    ) -> Result<(), GuestError> {
        let (guest, order, mut effect) = (guest.clone(), order.clone(), effect);
        let call = Call::guest(name, guest.instance, Some(order.generation));
        self.0.call(call, move |state, now| effect(state, &guest, &order, now), fail).await
    }
}

#[async_trait]
impl Guests for SimGuests {
    async fn status(&self, guest: &Guest) -> Result<GuestStatus, GuestError> {
        self.look("status", guest, |state, guest, now| {
            state.guest(guest)?;
            let node = state.nodes.get(guest.instance);
            let running = node.filter(|node| !node.stopped);
            Ok(GuestStatus {
                redis: match node {
                    None => RedisState::Unknown,
                    Some(node) if node.stopped => RedisState::Down,
                    Some(_) => RedisState::Running,
                },
                volume_used_bytes: 1,
                slots: running.map(|node| node.slots.clone()).unwrap_or_default(),
                state_ok: running.is_none_or(|node| state.nodes.view(node, now).state_ok),
                node: running.map(|node| node.id),
                failed: running.map(|node| state.nodes.failed(node, now)).unwrap_or_default(),
            })
        })
        .await
    }

    async fn topology(&self, guest: &Guest) -> Result<Seen, GuestError> {
        self.look("topology", guest, |state, guest, now| {
            state.guest(guest)?;
            let Some(node) = state.nodes.get(guest.instance) else { return Ok(Seen::Unprepared) };
            if node.stopped {
                return Err(GuestError::RedisDown("redis-server does not run".to_owned()));
            }
            let mut view = state.nodes.view(node, now);
            if state.mutation == Some(Mutation::AwayNodesSeemFailedAndEmpty) {
                let away = state.nodes.all().map(|(_, node)| node).filter(|node| !node.is_up() || node.silent);
                let away: Vec<NodeId> = away.map(|node| node.id).collect();
                for line in view.nodes.iter_mut().filter(|line| away.contains(&line.id)) {
                    (line.reach, line.slots) = (Reach::Failed, SlotSet::empty());
                }
            }
            Ok(Seen::View(Box::new(view)))
        })
        .await
    }

    async fn prepare(&self, guest: &Guest, order: &Order, spec: &PrepareSpec) -> Result<(), GuestError> {
        let spec = spec.clone();
        self.change("prepare", guest, order, move |state, guest, order, now| state.prepare(guest, order, &spec, now))
            .await
    }

    async fn add_slots(
        &self,
        guest: &Guest,
        order: &Order,
        node: NodeId,
        slots: SlotRange,
        epoch: u64,
        _: Duration,
    ) -> Result<(), GuestError> {
        let want = AddSlots { node, slots, epoch };
        self.change("add_slots", guest, order, move |state, guest, order, _| state.add_slots(guest, order, &want)).await
    }

    async fn meet(
        &self,
        guest: &Guest,
        order: &Order,
        ip: &str,
        _: u16,
        joining: Option<Joining>,
    ) -> Result<(), GuestError> {
        let ip = ip.to_owned();
        self.change("meet", guest, order, move |state, guest, order, now| state.meet(guest, order, &ip, joining, now))
            .await
    }

    async fn complete(&self, guest: &Guest, order: &Order) -> Result<(), GuestError> {
        self.change("complete", guest, order, |state, guest, order, _| {
            let greedy = state.mutation == Some(Mutation::CompleteNodesTakeEverySlot);
            let node = state.member(guest, order)?;
            node.complete = true;
            if let (true, Ok(every)) = (greedy, SlotRange::new(0, 16_383)) {
                node.slots = every.into();
            }
            Ok(())
        })
        .await
    }

    async fn close(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        self.change("close", guest, order, move |state, guest, order, now| {
            let node = state.this_node(guest, order, node)?;
            if !node.complete || node.left.is_some() {
                return refuse("not complete");
            }
            node.closed_until = Some(now + CLOSED);
            Ok(())
        })
        .await
    }

    async fn reopen(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        self.change("reopen", guest, order, move |state, guest, order, _| {
            state.this_node(guest, order, node)?.closed_until = None;
            Ok(())
        })
        .await
    }

    async fn leave(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        self.change("leave", guest, order, move |state, guest, order, now| state.leave(guest, order, node, now)).await
    }

    async fn remove_nodes(&self, guest: &Guest, order: &Order, nodes: &[NodeId]) -> Result<(), GuestError> {
        let nodes = nodes.to_vec();
        self.change("remove_nodes", guest, order, move |state, guest, order, now| {
            state.remove_nodes(guest, order, &nodes, now)
        })
        .await
    }

    fn forget(&self, _: InstanceId) {}
}
