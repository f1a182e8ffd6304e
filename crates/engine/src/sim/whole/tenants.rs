//! Tenants: they write keys and move slots, with what `redis-cli` has for it, whatever we are doing.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::instance::Instance;
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotRange, SlotSet};
use tokio::time::sleep;

use super::Stage;
use crate::sim::State;
use crate::sim::clock::Chance;

/// How long a member that was away has to be back before a tenant gives it slots again.
const TRUSTED_AFTER: Duration = Duration::from_secs(120);

/// Does something now and then, until the story is over.
pub(super) async fn run(stage: Arc<Stage>, mut chance: Chance) {
    let pause = chance.between(Duration::from_millis(300), Duration::from_secs(8));
    loop {
        sleep(chance.between(Duration::from_millis(10), pause)).await;
        if stage.is_over() {
            return;
        }
        let now = stage.sim.elapsed();
        let done = {
            let mut state = stage.sim.lock();
            state.nodes.advance(now);
            let done = act(&mut state, &mut chance, now);
            state.watched(|watch, state| watch.look_at_nodes(state));
            done
        };
        if let Some(done) = done {
            stage.happened("tenant", || done);
        }
    }
}

impl Stage {
    /// Those of the members that own nothing by their own word.
    pub(super) fn members_without_slots(&self, members: &[Instance]) -> Vec<InstanceId> {
        let state = self.sim.lock();
        let idle = |member: &&Instance| state.nodes.get(member.id).is_some_and(|node| node.slots.is_empty());
        members.iter().filter(idle).map(|member| member.id).collect()
    }
}

fn act(state: &mut State, chance: &mut Chance, now: Duration) -> Option<String> {
    let standing: Vec<ClusterId> = state.watch.as_ref().map(|watch| watch.standing().collect()).unwrap_or_default();
    let cluster = chance.pick(&standing)?;
    let of_cluster: Vec<_> =
        state.nodes.all().filter(|(_, node)| node.cluster == cluster && node.left.is_none()).collect();
    let up = of_cluster.iter().filter(|(_, node)| node.is_up()).count();
    let open: Vec<InstanceId> = of_cluster.iter().filter(|(_, node)| node.is_open(now)).map(|(id, _)| *id).collect();
    // A cluster most of whose nodes are away serves nobody.
    if up * 2 <= of_cluster.len() {
        return None;
    }
    let one = chance.pick(&open)?;
    // Slots go to members that have been there for a while, and only among those who know each other.
    let source = state.nodes.get(one)?;
    let may_take = |id: &InstanceId| {
        let node = state.nodes.get(*id);
        node.is_some_and(|node| {
            let known = source.known.contains_key(&node.id) && node.known.contains_key(&source.id);
            known && (now.saturating_sub(node.started) > TRUSTED_AFTER || !node.was_away)
        })
    };
    let others: Vec<InstanceId> = open.iter().copied().filter(may_take).collect();
    let other = chance.pick(&others);
    match chance.below(10) {
        0..3 => write(state, chance, cluster, one),
        3..5 => begin_a_move(state, chance, one, other?),
        5..8 => end_a_move(state, one, &others),
        _ => drain(state, one, other?),
    }
}

fn a_slot_of(state: &State, instance: InstanceId, chance: &mut Chance) -> Option<u16> {
    let ranges = state.nodes.get(instance)?.slots.ranges();
    let range = chance.pick(&ranges)?;
    Some(range.first() + u16::try_from(chance.below(usize::from(range.last() - range.first()) + 1)).unwrap_or(0))
}

fn write(state: &mut State, chance: &mut Chance, cluster: ClusterId, at: InstanceId) -> Option<String> {
    let slot = a_slot_of(state, at, chance)?;
    *state.nodes.touch(at)?.acknowledged.entry(slot).or_default() += 1;
    if let Some(watch) = &mut state.watch {
        watch.acknowledge(cluster, slot, 1);
    }
    Some(format!("a tenant writes a key of slot {slot} at {at}"))
}

fn begin_a_move(state: &mut State, chance: &mut Chance, from: InstanceId, to: InstanceId) -> Option<String> {
    let slot = a_slot_of(state, from, chance)?;
    let (source, target) = (state.nodes.get(from)?.id, state.nodes.get(to)?.id);
    if state.nodes.get(from)?.migrating.iter().any(|(moving, _)| *moving == slot) {
        return None;
    }
    state.nodes.touch(to)?.importing.push((slot, source));
    state.nodes.touch(from)?.migrating.push((slot, target));
    Some(format!("a tenant begins to move slot {slot} from {from} to {to}"))
}

/// Ends a move, or gives one up whose target is gone.
fn end_a_move(state: &mut State, from: InstanceId, others: &[InstanceId]) -> Option<String> {
    let (slot, target) = state.nodes.get(from)?.migrating.first().copied()?;
    let source = state.nodes.get(from)?.id;
    let at = |id: NodeId| state.nodes.all().find(|(_, node)| node.id == id).map(|(instance, _)| instance);
    match at(target) {
        Some(to) if others.contains(&to) => {
            give(state, from, to, SlotSet::from(SlotRange::new(slot.into(), slot.into()).ok()?));
            state.nodes.touch(from)?.migrating.retain(|open| *open != (slot, target));
            state.nodes.touch(to)?.importing.retain(|open| *open != (slot, source));
            Some(format!("a tenant moves slot {slot} from {from} to {to}"))
        }
        Some(_) => None,
        None => {
            state.nodes.touch(from)?.migrating.retain(|open| *open != (slot, target));
            Some(format!("a tenant gives up moving slot {slot} from {from}"))
        }
    }
}

/// Moves all that a member owns, if none of it is on the move.
fn drain(state: &mut State, from: InstanceId, to: InstanceId) -> Option<String> {
    let node = state.nodes.get(from)?;
    if node.slots.is_empty() || !node.migrating.is_empty() {
        return None;
    }
    let slots = node.slots.clone();
    give(state, from, to, slots);
    Some(format!("a tenant moves all slots from {from} to {to}"))
}

fn give(state: &mut State, from: InstanceId, to: InstanceId, slots: SlotSet) {
    let mut keys = Vec::new();
    if let Some(source) = state.nodes.touch(from) {
        source.slots = source.slots.clone().without(&slots);
        keys.extend(source.acknowledged.iter().filter(|(slot, _)| slots.contains(**slot)).map(|(s, k)| (*s, *k)));
        source.acknowledged.retain(|slot, _| !slots.contains(*slot));
    }
    if let Some(target) = state.nodes.touch(to) {
        target.slots = target.slots.clone().union(&slots);
        for (slot, count) in keys {
            *target.acknowledged.entry(slot).or_default() += count;
        }
    }
}

/// Moves all that these own to a member, as a tenant has to before they can leave.
pub(super) fn drain_all(state: &mut State, of: &[InstanceId], to: InstanceId) {
    for from in of.iter().filter(|from| **from != to) {
        if let Some(slots) = state.nodes.get(*from).map(|node| node.slots.clone()) {
            give(state, *from, to, slots);
        }
    }
}

/// What was begun is ended or given up, as a tenant does before it goes home.
pub(super) fn go_home(state: &mut State) {
    let all: Vec<InstanceId> = state.nodes.all().map(|(id, _)| id).collect();
    for instance in all {
        if let Some(node) = state.nodes.touch(instance) {
            node.migrating.clear();
            node.importing.clear();
        }
    }
}
