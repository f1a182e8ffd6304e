//! The one parser of `CLUSTER NODES`, for every address form that Redis 3 to 8 and Valkey write.

use std::fmt;

use crate::ids::NodeId;
use crate::slots::{SLOT_COUNT, SlotRange, SlotSet};

/// Where a node can be reached, as its peer writes it: `ip:port@busport[,hostname[,name=value]…]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeAddress {
    /// An IPv4 or IPv6 address without brackets. Empty for a node that has met nobody yet and does not
    /// announce an address, and for one whose address is lost (`noaddr`).
    pub ip: String,
    /// The port for clients; 0 if it is not known.
    pub port: u16,
    /// The port of the cluster bus; absent before Redis 4.
    pub bus_port: Option<u16>,
    /// The announced host name (Redis 7.0 and newer), if any.
    pub hostname: Option<String>,
}

impl NodeAddress {
    /// Reads one address field. Works from the right, as an IPv6 address has colons of its own.
    pub fn parse(text: &str) -> Result<Self, InvalidNodes> {
        let refuse = || InvalidNodes::Address(shorten(text));
        let (endpoint, names) = text.split_once(',').map_or((text, None), |(endpoint, names)| (endpoint, Some(names)));
        let (endpoint, bus_port) = match endpoint.rsplit_once('@') {
            Some((endpoint, bus)) => (endpoint, Some(bus.parse().map_err(|_| refuse())?)),
            None => (endpoint, None),
        };
        let (ip, port) = endpoint.rsplit_once(':').ok_or_else(refuse)?;
        let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
        // What follows the host name are Redis 7.2's auxiliary fields, such as `shard-id=…`.
        let hostname = names.and_then(|names| names.split(',').next()).filter(|name| !name.is_empty());
        Ok(Self {
            ip: ip.to_owned(),
            port: port.parse().map_err(|_| refuse())?,
            bus_port,
            hostname: hostname.map(str::to_owned),
        })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ip, self.port)?;
        if let Some(bus_port) = self.bus_port {
            write!(f, "@{bus_port}")?;
        }
        if let Some(hostname) = &self.hostname {
            write!(f, ",{hostname}")?;
        }
        Ok(())
    }
}

/// How a node sees another's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// No complaint.
    #[default]
    Fine,
    /// `fail?`: this node alone cannot reach it.
    Suspected,
    /// `fail`: a majority of masters agreed that it cannot be reached.
    Failed,
}

/// One line of `CLUSTER NODES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLine {
    /// The node's id; a random placeholder while `handshake` holds.
    pub id: NodeId,
    /// Where it can be reached.
    pub address: NodeAddress,
    /// The line is the answering node's own.
    pub myself: bool,
    /// It is a master; otherwise a replica (or, in a handshake, not yet known).
    pub master: bool,
    /// The master it replicates.
    pub replicates: Option<NodeId>,
    /// Its health in the answering node's eyes.
    pub reach: Reach,
    /// A `CLUSTER MEET` with it has begun and not ended.
    pub handshake: bool,
    /// Its address is not known any more.
    pub noaddr: bool,
    /// The configuration epoch of it, or of its master.
    pub config_epoch: u64,
    /// The bus link to it is up.
    pub connected: bool,
    /// The slots it owns.
    pub slots: SlotSet,
    /// Slots on their way out, with their target. Only a node's own line has these.
    pub migrating: Vec<(u16, NodeId)>,
    /// Slots on their way in, with their source. Only a node's own line has these.
    pub importing: Vec<(u16, NodeId)>,
}

/// A `CLUSTER NODES` reply that does not follow the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNodes {
    /// A line has fewer than the eight fixed fields.
    #[error("CLUSTER NODES: a line has {0} fields, not 8 or more")]
    Fields(usize),
    /// A field that is no node id.
    #[error("CLUSTER NODES: '{0}' is not a node id")]
    Id(String),
    /// A field that is no address.
    #[error("CLUSTER NODES: '{0}' is not an address")]
    Address(String),
    /// A flag that no known server writes.
    #[error("CLUSTER NODES: '{0}' is not a flag")]
    Flag(String),
    /// A configuration epoch that is not a number.
    #[error("CLUSTER NODES: '{0}' is not a config epoch")]
    Epoch(String),
    /// A slot, range or open-slot mark that cannot be read.
    #[error("CLUSTER NODES: '{0}' is not a slot, a range or an open slot")]
    Slot(String),
    /// Not exactly one line is flagged `myself`.
    #[error("CLUSTER NODES: {0} lines are flagged myself, not 1")]
    Myself(usize),
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Reads a whole `CLUSTER NODES` reply; exactly one line must be the answering node's own.
pub fn parse_nodes(reply: &str) -> Result<Vec<NodeLine>, InvalidNodes> {
    let nodes = reply.lines().filter(|line| !line.is_empty()).map(parse_line).collect::<Result<Vec<_>, _>>()?;
    match nodes.iter().filter(|node| node.myself).count() {
        1 => Ok(nodes),
        count => Err(InvalidNodes::Myself(count)),
    }
}

fn parse_line(line: &str) -> Result<NodeLine, InvalidNodes> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    // Fields 4 and 5, ping-sent and pong-received, are times of the node's own clock and of no use here.
    let [id, address, flags, replicates, _, _, epoch, link, owned @ ..] = fields.as_slice() else {
        return Err(InvalidNodes::Fields(fields.len()));
    };
    let mut node = NodeLine {
        id: parse_id(id)?,
        address: NodeAddress::parse(address)?,
        myself: false,
        master: false,
        replicates: if *replicates == "-" { None } else { Some(parse_id(replicates)?) },
        reach: Reach::Fine,
        handshake: false,
        noaddr: false,
        config_epoch: epoch.parse().map_err(|_| InvalidNodes::Epoch(shorten(epoch)))?,
        connected: *link == "connected",
        slots: SlotSet::empty(),
        migrating: Vec::new(),
        importing: Vec::new(),
    };
    for flag in flags.split(',') {
        match flag {
            "myself" => node.myself = true,
            "master" => node.master = true,
            "fail?" => node.reach = Reach::Suspected,
            "fail" => node.reach = Reach::Failed,
            "handshake" => node.handshake = true,
            "noaddr" => node.noaddr = true,
            "slave" | "replica" | "nofailover" | "noflags" => {}
            other => return Err(InvalidNodes::Flag(shorten(other))),
        }
    }
    for field in owned {
        parse_slots(field, &mut node)?;
    }
    Ok(node)
}

fn parse_id(text: &str) -> Result<NodeId, InvalidNodes> {
    text.parse().map_err(|_| InvalidNodes::Id(shorten(text)))
}

/// One of `5`, `5-9`, `[5->-<target id>]` and `[5-<-<source id>]`.
fn parse_slots(field: &str, node: &mut NodeLine) -> Result<(), InvalidNodes> {
    let refuse = || InvalidNodes::Slot(shorten(field));
    if let Some(open) = field.strip_prefix('[').and_then(|field| field.strip_suffix(']')) {
        let (side, slot, peer) = if let Some((slot, target)) = open.split_once("->-") {
            (&mut node.migrating, slot, target)
        } else if let Some((slot, source)) = open.split_once("-<-") {
            (&mut node.importing, slot, source)
        } else {
            return Err(refuse());
        };
        let slot = slot.parse().ok().filter(|slot| *slot < SLOT_COUNT).ok_or_else(refuse)?;
        side.push((slot, peer.parse().map_err(|_| refuse())?));
        return Ok(());
    }
    let (first, last) = field.split_once('-').unwrap_or((field, field));
    let (first, last) = (first.parse().map_err(|_| refuse())?, last.parse().map_err(|_| refuse())?);
    node.slots.insert(SlotRange::new(first, last).map_err(|_| refuse())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const ID: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
    const PEER: &str = "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca";

    #[test]
    fn a_reply_of_redis_7_with_everything_in_it() {
        let reply = format!(
            "{ID} 127.0.0.1:30004@31004,host4 slave,fail {PEER} 0 1426238317239 4 disconnected\n\
             {PEER} 127.0.0.1:30001@31001,,shard-id=69bc myself,master - 0 0 1 connected 0-5460 9 [93-<-{ID}] [77->-{ID}]\n"
        );
        let nodes = parse_nodes(&reply).unwrap();
        assert_eq!(nodes[0].replicates, Some(PEER.parse().unwrap()));
        assert_eq!(nodes[0].reach, Reach::Failed);
        assert_eq!(nodes[0].address.hostname.as_deref(), Some("host4"));
        assert!(!nodes[0].connected && !nodes[0].master);
        assert!(nodes[1].myself && nodes[1].master);
        assert_eq!(nodes[1].address.hostname, None);
        assert_eq!(nodes[1].slots.to_string(), "0-5460");
        assert_eq!(nodes[1].importing, [(93, ID.parse().unwrap())]);
        assert_eq!(nodes[1].migrating, [(77, ID.parse().unwrap())]);
    }

    #[test]
    fn every_address_form() {
        let read = |text| NodeAddress::parse(text).unwrap();
        let address = |ip: &str, port, bus_port, hostname: Option<&str>| NodeAddress {
            ip: ip.into(),
            port,
            bus_port,
            hostname: hostname.map(Into::into),
        };
        assert_eq!(read("10.0.0.1:6379"), address("10.0.0.1", 6379, None, None), "Redis 3");
        assert_eq!(read("10.0.0.1:6379@16379"), address("10.0.0.1", 6379, Some(16379), None));
        assert_eq!(read("10.0.0.1:6379@16379,a.example"), address("10.0.0.1", 6379, Some(16379), Some("a.example")));
        assert_eq!(read(":6379@16379"), address("", 6379, Some(16379), None), "a node that met nobody");
        assert_eq!(read(":0@0"), address("", 0, Some(0), None), "noaddr");
        assert_eq!(read("fd00::1:6379@16379"), address("fd00::1", 6379, Some(16379), None));
        assert_eq!(read("[fd00::1]:6379@16379"), address("fd00::1", 6379, Some(16379), None));
    }

    #[test]
    fn what_does_not_follow_the_format_is_refused() {
        for (reply, error) in [
            (String::new(), InvalidNodes::Myself(0)),
            (format!("{ID} :0@0 myself,master - 0 0 1"), InvalidNodes::Fields(7)),
            ("x :0@0 myself - 0 0 1 connected".to_owned(), InvalidNodes::Id("x".into())),
            (format!("{ID} 6379 myself - 0 0 1 connected"), InvalidNodes::Address("6379".into())),
            (format!("{ID} :99999@1 myself - 0 0 1 connected"), InvalidNodes::Address(":99999@1".into())),
            (format!("{ID} :0@0 odd - 0 0 1 connected"), InvalidNodes::Flag("odd".into())),
            (format!("{ID} :0@0 myself - 0 0 -1 connected"), InvalidNodes::Epoch("-1".into())),
            (format!("{ID} :0@0 myself - 0 0 1 connected 16384"), InvalidNodes::Slot("16384".into())),
            (format!("{ID} :0@0 myself - 0 0 1 connected 9-1"), InvalidNodes::Slot("9-1".into())),
            (format!("{ID} :0@0 myself - 0 0 1 connected [9]"), InvalidNodes::Slot("[9]".into())),
        ] {
            assert_eq!(parse_nodes(&reply), Err(error), "{reply}");
        }
        let twice = format!("{ID} :0@0 myself - 0 0 1 connected\n{PEER} :0@0 myself - 0 0 1 connected");
        assert_eq!(parse_nodes(&twice), Err(InvalidNodes::Myself(2)));
    }

    fn addresses() -> impl Strategy<Value = NodeAddress> {
        let ip = prop_oneof![
            Just(String::new()),
            any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        ];
        let hostname = prop::option::of("[a-z][a-z0-9.-]{0,30}");
        (ip, any::<u16>(), prop::option::of(any::<u16>()), hostname)
            .prop_map(|(ip, port, bus_port, hostname)| NodeAddress { ip, port, bus_port, hostname })
    }

    proptest! {
        #[test]
        fn an_address_reads_back_what_it_prints(address in addresses()) {
            prop_assert_eq!(NodeAddress::parse(&address.to_string()), Ok(address));
        }

        #[test]
        fn any_text_is_read_or_refused_but_never_panics(text in ".{0,200}") {
            let _ = parse_nodes(&text);
            let _ = NodeAddress::parse(&text);
        }

        #[test]
        fn slots_read_back_what_they_print(ranges in prop::collection::vec((0u32..16_384, 0u32..16_384), 0..8)) {
            let slots: SlotSet = ranges.iter().map(|(a, b)| SlotRange::new(*a.min(b), *a.max(b)).unwrap()).collect();
            let text = if slots.is_empty() { String::new() } else { slots.to_string().replace(',', " ") };
            let nodes = parse_nodes(&format!("{ID} :0@0 myself,master - 0 0 1 connected {text}")).unwrap();
            prop_assert_eq!(&nodes[0].slots, &slots);
        }
    }
}
