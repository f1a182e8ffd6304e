//! Messages to domain types and back. What comes in over the wire becomes a type that cannot be invalid, or an
//! [`InvalidField`] that names the field.

use std::time::Duration;

use redtrove_core::instance::RedisState;
use redtrove_core::topology::{NodeAddress, NodeLine, NodeView, Reach};
use redtrove_core::{NodeId, SlotRange, SlotSet};

use crate::{InvalidField, v1};

/// Reads a field that holds a node id.
pub fn node_id(field: &str, text: &str) -> Result<NodeId, InvalidField> {
    text.parse().map_err(|error| InvalidField::new(field, error))
}

/// Reads a field that holds a port; 0 is none.
fn port(field: &str, number: u32) -> Result<u16, InvalidField> {
    u16::try_from(number).map_err(|_| InvalidField::new(field, format!("{number} is not a port: ports end at 65535")))
}

impl From<SlotRange> for v1::SlotRange {
    fn from(range: SlotRange) -> Self {
        Self { first: range.first().into(), last: range.last().into() }
    }
}

impl TryFrom<v1::SlotRange> for SlotRange {
    type Error = InvalidField;

    fn try_from(range: v1::SlotRange) -> Result<Self, InvalidField> {
        let field = if range.first >= u32::from(redtrove_core::slots::SLOT_COUNT) { "first" } else { "last" };
        Self::new(range.first, range.last).map_err(|error| InvalidField::new(field, error))
    }
}

/// The ranges of a set, in order.
pub fn slot_ranges(slots: &SlotSet) -> Vec<v1::SlotRange> {
    slots.ranges().into_iter().map(Into::into).collect()
}

/// Reads a field that holds slot ranges.
pub fn slot_set(field: &str, ranges: Vec<v1::SlotRange>) -> Result<SlotSet, InvalidField> {
    let read = |(at, range): (usize, v1::SlotRange)| {
        SlotRange::try_from(range).map_err(|error| error.within(format_args!("{field}[{at}]")))
    };
    ranges.into_iter().enumerate().map(read).collect()
}

fn open_slots(field: &str, slots: Vec<v1::OpenSlot>) -> Result<Vec<(u16, NodeId)>, InvalidField> {
    let read = |(at, open): (usize, v1::OpenSlot)| {
        let slot = SlotRange::new(open.slot, open.slot)
            .map_err(|error| InvalidField::new(format!("{field}[{at}].slot"), error))?;
        Ok((slot.first(), node_id(&format!("{field}[{at}].node_id"), &open.node_id)?))
    };
    slots.into_iter().enumerate().map(read).collect()
}

fn write_open_slots(slots: Vec<(u16, NodeId)>) -> Vec<v1::OpenSlot> {
    slots.into_iter().map(|(slot, id)| v1::OpenSlot { slot: slot.into(), node_id: id.into() }).collect()
}

impl From<NodeLine> for v1::Node {
    fn from(line: NodeLine) -> Self {
        let role = match (line.master, line.handshake) {
            (true, _) => v1::Role::Master,
            (false, false) => v1::Role::Replica,
            (false, true) => v1::Role::Unspecified,
        };
        let reach = match line.reach {
            Reach::Fine => v1::Reach::Unspecified,
            Reach::Suspected => v1::Reach::Suspected,
            Reach::Failed => v1::Reach::Failed,
        };
        Self {
            node_id: line.id.into(),
            ip: line.address.ip,
            port: line.address.port.into(),
            bus_port: line.address.bus_port.unwrap_or(0).into(),
            hostname: line.address.hostname.unwrap_or_default(),
            myself: line.myself,
            role: role.into(),
            replicates: line.replicates.map(Into::into),
            reach: reach.into(),
            handshake: line.handshake,
            noaddr: line.noaddr,
            config_epoch: line.config_epoch,
            connected: line.connected,
            slots: slot_ranges(&line.slots),
            migrating: write_open_slots(line.migrating),
            importing: write_open_slots(line.importing),
        }
    }
}

impl TryFrom<v1::Node> for NodeLine {
    type Error = InvalidField;

    fn try_from(node: v1::Node) -> Result<Self, InvalidField> {
        let master = match node.role() {
            v1::Role::Master => true,
            v1::Role::Replica => false,
            v1::Role::Unspecified if node.handshake => false,
            v1::Role::Unspecified => {
                return Err(InvalidField::new("role", "is absent, and the node is not in handshake"));
            }
        };
        let reach = match node.reach() {
            v1::Reach::Unspecified => Reach::Fine,
            v1::Reach::Suspected => Reach::Suspected,
            v1::Reach::Failed => Reach::Failed,
        };
        Ok(Self {
            id: node_id("node_id", &node.node_id)?,
            address: NodeAddress {
                port: port("port", node.port)?,
                bus_port: Some(port("bus_port", node.bus_port)?).filter(|port| *port != 0),
                hostname: Some(node.hostname).filter(|name| !name.is_empty()),
                ip: node.ip,
            },
            myself: node.myself,
            master,
            replicates: node.replicates.map(|id| node_id("replicates", &id)).transpose()?,
            reach,
            handshake: node.handshake,
            noaddr: node.noaddr,
            config_epoch: node.config_epoch,
            connected: node.connected,
            slots: slot_set("slots", node.slots)?,
            migrating: open_slots("migrating", node.migrating)?,
            importing: open_slots("importing", node.importing)?,
        })
    }
}

impl From<NodeView> for v1::GetTopologyResponse {
    fn from(view: NodeView) -> Self {
        Self {
            node_id: view.myself.into(),
            state_ok: view.state_ok,
            keys: view.keys,
            uptime_seconds: view.uptime_seconds,
            complete: view.complete,
            nodes: view.nodes.into_iter().map(Into::into).collect(),
            closed_for_ms: view.closed_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            left_node_id: view.left.map(Into::into),
        }
    }
}

impl TryFrom<v1::GetTopologyResponse> for NodeView {
    type Error = InvalidField;

    fn try_from(response: v1::GetTopologyResponse) -> Result<Self, InvalidField> {
        let myself = node_id("node_id", &response.node_id)?;
        let read = |(at, node): (usize, v1::Node)| {
            NodeLine::try_from(node).map_err(|error| error.within(format_args!("nodes[{at}]")))
        };
        let nodes = response.nodes.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let own: Vec<NodeId> = nodes.iter().filter(|node| node.myself).map(|node| node.id).collect();
        if own != [myself] {
            return Err(InvalidField::new(
                "nodes",
                format!("the one that is myself is not {myself}, and that one only"),
            ));
        }
        Ok(Self {
            myself,
            nodes,
            state_ok: response.state_ok,
            keys: response.keys,
            uptime_seconds: response.uptime_seconds,
            complete: response.complete,
            closed_for: response.closed_for_ms.map(Duration::from_millis),
            left: response.left_node_id.map(|id| node_id("left_node_id", &id)).transpose()?,
        })
    }
}

/// `Unknown` is "unprepared" on the wire: the agent answers, but has nothing to say of a redis-server yet.
impl From<RedisState> for v1::RedisState {
    fn from(state: RedisState) -> Self {
        match state {
            RedisState::Unknown => Self::Unprepared,
            RedisState::Starting => Self::Starting,
            RedisState::Loading => Self::Loading,
            RedisState::Running => Self::Running,
            RedisState::Down => Self::Down,
        }
    }
}

impl From<v1::RedisState> for RedisState {
    fn from(state: v1::RedisState) -> Self {
        match state {
            v1::RedisState::Unspecified | v1::RedisState::Unprepared => Self::Unknown,
            v1::RedisState::Starting => Self::Starting,
            v1::RedisState::Loading => Self::Loading,
            v1::RedisState::Running => Self::Running,
            v1::RedisState::Down => Self::Down,
        }
    }
}

#[cfg(test)]
mod tests;
