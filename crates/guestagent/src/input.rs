//! Requests as they come over the wire, turned into what cannot be invalid.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use redtrove_core::settings::{InvalidSetting, Settings};
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotRange};
use redtrove_guest_rpc::{InvalidField, convert, v1};
use uuid::Uuid;

use crate::state::Prepared;

/// The highest port for clients: the bus is 10000 above it.
const MAX_CLIENT_PORT: u32 = 55_535;
/// The most nodes that are forgotten at once.
const MAX_FORGOTTEN: usize = 1_000;

/// What `ClusterAddslots` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddSlots {
    /// The slots to take.
    pub range: SlotRange,
    /// The configuration epoch to set first.
    pub epoch: Option<u64>,
    /// The node timeout to run with until the cluster is complete, milliseconds.
    pub timeout_ms: Option<u32>,
    /// The id that the node must have.
    pub expected: Option<NodeId>,
}

/// What `ClusterMeet` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meet {
    /// The other node's address.
    pub ip: IpAddr,
    /// Its port for clients.
    pub port: u16,
    /// The node timeout to run with until the cluster is complete, milliseconds.
    pub timeout_ms: Option<u32>,
    /// The id that this node must have.
    pub expected: Option<NodeId>,
}

/// Reads a `ClusterAddslots`.
pub fn add_slots(request: &v1::ClusterAddslotsRequest) -> Result<AddSlots, InvalidField> {
    let range = v1::SlotRange { first: request.first_slot, last: request.last_slot };
    let range =
        SlotRange::try_from(range).map_err(|error| InvalidField::new(format!("{}_slot", error.field), error.reason))?;
    if request.config_epoch == Some(0) {
        return Err(InvalidField::new("config_epoch", "is 0, and epochs begin at 1"));
    }
    let timeout_ms = forming_node_timeout(request.forming_node_timeout_ms)?;
    let expected = request.expected_node_id.as_deref().map(expected_node).transpose()?;
    Ok(AddSlots { range, epoch: request.config_epoch, timeout_ms, expected })
}

fn forming_node_timeout(ms: Option<u32>) -> Result<Option<u32>, InvalidField> {
    if let Some(ms) = ms.filter(|ms| !(100..=60_000).contains(ms)) {
        return Err(InvalidField::new("forming_node_timeout_ms", format!("{ms} is not from 100 to 60000")));
    }
    Ok(ms)
}

/// Reads the id that the node must have which is asked to do something.
pub fn expected_node(id: &str) -> Result<NodeId, InvalidField> {
    convert::node_id("expected_node_id", id)
}

/// Reads a `ClusterMeet`: the address of one machine, which is not `own`, and its port for clients.
pub fn meet(request: &v1::ClusterMeetRequest, own: (IpAddr, u16)) -> Result<Meet, InvalidField> {
    let refuse = |reason: &str| InvalidField::new("ip", reason);
    let ip: IpAddr = request.ip.parse().map_err(|_| refuse("is not an IPv4 or IPv6 address"))?;
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(refuse("is not the address of one machine"));
    }
    let port = u16::try_from(request.port).ok().filter(|port| (1..=MAX_CLIENT_PORT).contains(&u32::from(*port)));
    let reason = || InvalidField::new("port", format!("{} is not from 1 to {MAX_CLIENT_PORT}", request.port));
    let port = port.ok_or_else(reason)?;
    if (ip, port) == own {
        return Err(refuse("is this node's own address"));
    }
    let timeout_ms = forming_node_timeout(request.forming_node_timeout_ms)?;
    let expected = request.expected_node_id.as_deref().map(expected_node).transpose()?;
    Ok(Meet { ip, port, timeout_ms, expected })
}

/// Reads a `RemoveNodes`: at least one id, each once.
pub fn remove_nodes(request: &v1::RemoveNodesRequest) -> Result<BTreeSet<NodeId>, InvalidField> {
    let count = request.node_ids.len();
    if !(1..=MAX_FORGOTTEN).contains(&count) {
        return Err(InvalidField::new("node_ids", format!("{count} ids are not from 1 to {MAX_FORGOTTEN}")));
    }
    let read = |(at, id): (usize, &String)| convert::node_id(&format!("node_ids[{at}]"), id);
    request.node_ids.iter().enumerate().map(read).collect()
}

/// Reads a `Prepare` for the agent of `instance`, which can run `engines`.
pub fn prepare(
    request: v1::PrepareRequest,
    instance: InstanceId,
    engines: &BTreeMap<Engine, PathBuf>,
) -> Result<Prepared, InvalidField> {
    let known = || engines.keys().map(|engine| engine.name()).collect::<Vec<_>>().join(", ");
    let engine = request.engine.parse().ok().filter(|engine| engines.contains_key(engine));
    let engine = engine.ok_or_else(|| {
        let shown: String = request.engine.chars().take(64).collect();
        InvalidField::new("engine", format!("{shown:?} is not an engine of this node; it has: {}", known()))
    })?;
    let cluster: ClusterId = request.cluster_id.parse().map_err(|error| InvalidField::new("cluster_id", error))?;
    if cluster.0 == Uuid::nil() {
        return Err(InvalidField::new("cluster_id", "is the nil id"));
    }
    let asked: InstanceId = request.instance_id.parse().map_err(|error| InvalidField::new("instance_id", error))?;
    if asked != instance {
        return Err(InvalidField::new("instance_id", format!("is not {instance}, the instance of this agent")));
    }
    within("ram_mb", request.ram_mb, 64, 16_777_216)?;
    within("volume_gb", request.volume_gb, 1, 1_048_576)?;
    Settings::check(request.settings.clone()).map_err(setting)?;
    let v1::PrepareRequest { ram_mb, volume_gb, settings, .. } = request;
    Ok(Prepared { engine, cluster, instance, ram_mb, volume_gb, settings })
}

/// The place of a setting in the request.
fn setting(error: InvalidSetting) -> InvalidField {
    let field = error.name.map_or_else(|| "settings".to_owned(), |name| format!("settings[{name:?}]"));
    InvalidField::new(field, error.reason)
}

fn within(field: &str, number: u64, least: u64, most: u64) -> Result<(), InvalidField> {
    if (least..=most).contains(&number) {
        Ok(())
    } else {
        Err(InvalidField::new(field, format!("{number} is not from {least} to {most}")))
    }
}

#[cfg(test)]
mod tests;
