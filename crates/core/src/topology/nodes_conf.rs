//! Whether a `nodes.conf` is whole. Redis takes less for whole than one should: it starts with an empty file, as a new
//! node, and with one whose last line is cut short, with epochs that it had long passed.

use std::collections::BTreeSet;

use super::nodes::{InvalidNodes, NodeLine, parse_nodes};
use crate::ids::NodeId;
use crate::slots::SlotSet;

/// What redis-server keeps of its cluster across restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesConf {
    /// The node whose file it is.
    pub myself: NodeId,
    /// Every node that it knows, itself included.
    pub nodes: Vec<NodeLine>,
    /// The highest epoch that it has seen.
    pub current_epoch: u64,
    /// The epoch of its last vote.
    pub last_vote_epoch: u64,
}

/// A file that a redis-server did not leave like this, or not on purpose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNodesConf {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// The last line, which holds the epochs, is missing or not whole.
    #[error("it is cut short: it does not end with the line of epochs")]
    Cut,
    /// There are bytes in it that Redis does not write, such as the zeros of a block that never got to the disk. Redis
    /// takes a zero for the end of a line.
    #[error("it is damaged (it is not text)")]
    Bytes,
    /// A line of a node cannot be read.
    #[error("it is damaged ({0})")]
    Nodes(InvalidNodes),
    /// Two lines are about one node.
    #[error("it is damaged (node {0} is in it twice)")]
    Twice(NodeId),
    /// Two nodes own a slot.
    #[error("it is damaged (node {0} owns slots of another one)")]
    Slots(NodeId),
}

impl NodesConf {
    /// Reads a whole file. Redis writes the nodes as `CLUSTER NODES` does and the epochs behind them; up to 7.0 it pads a
    /// file that gets shorter with empty lines before it cuts it.
    pub fn parse(text: &str) -> Result<Self, InvalidNodesConf> {
        let lines = text.trim_end_matches('\n');
        if lines.is_empty() {
            return Err(InvalidNodesConf::Empty);
        }
        let (nodes, epochs) = lines.rsplit_once('\n').ok_or(InvalidNodesConf::Cut)?;
        if lines.len() == text.len() {
            return Err(InvalidNodesConf::Cut);
        }
        if lines.chars().any(|character| character.is_control() && character != '\n') {
            return Err(InvalidNodesConf::Bytes);
        }
        let (current_epoch, last_vote_epoch) = parse_epochs(epochs).ok_or(InvalidNodesConf::Cut)?;
        let nodes = parse_nodes(nodes).map_err(InvalidNodesConf::Nodes)?;
        let (mut known, mut owned) = (BTreeSet::new(), SlotSet::empty());
        for node in &nodes {
            if !known.insert(node.id) {
                return Err(InvalidNodesConf::Twice(node.id));
            }
            if owned.intersects(&node.slots) {
                return Err(InvalidNodesConf::Slots(node.id));
            }
            owned = owned.union(&node.slots);
        }
        let myself = nodes.iter().find(|node| node.myself).map(|node| node.id);
        let myself = myself.ok_or(InvalidNodesConf::Nodes(InvalidNodes::Myself(0)))?;
        Ok(Self { myself, nodes, current_epoch, last_vote_epoch })
    }
}

/// `vars currentEpoch 3 lastVoteEpoch 0`; newer servers may add to it.
fn parse_epochs(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let rest = (words.next()? == "vars").then_some(words)?;
    let words: Vec<&str> = rest.collect();
    let value = |name| words.chunks_exact(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok());
    Some((value("currentEpoch")?, value("lastVoteEpoch")?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    const ID: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
    const PEER: &str = "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca";

    /// As Redis 7.0.15 leaves it, in the middle of a slot's move.
    fn file() -> String {
        format!(
            "{PEER} 127.0.0.3:6379@16379,,tls-port=0,shard-id=69bc master - 0 1700000000000 2 connected 8192-16383\n\
             {ID} 127.0.0.2:6379@16379 myself,master - 0 1700000000000 1 connected 0-8191 [77->-{PEER}]\n\
             vars currentEpoch 12 lastVoteEpoch 10\n"
        )
    }

    #[test]
    fn a_whole_file_is_read() {
        let conf = NodesConf::parse(&file()).unwrap();
        assert_eq!((conf.myself.to_string().as_str(), conf.nodes.len()), (ID, 2));
        assert_eq!((conf.current_epoch, conf.last_vote_epoch), (12, 10));
        assert_eq!(NodesConf::parse(&(file() + "\n\n\n")), Ok(conf), "padded, and not cut to its length yet");
    }

    #[test]
    fn no_part_of_a_file_is_a_whole_one() {
        let file = file();
        for length in 0..file.len() {
            let cut = NodesConf::parse(&file[..length]);
            assert!(cut.is_err(), "{length} of {} bytes: {cut:?}", file.len());
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| NodesConf::parse(text).unwrap_err().to_string();
        assert_eq!(said("\n\n"), "it is empty");
        assert!(said(&file().replace("vars", "wars")).contains("cut short"));
        assert!(said(&file().replace("vars", "\0\0\0\0")).contains("not text"));
        assert!(said(&file().replace("myself,", "")).contains("0 lines are flagged myself"));
        assert!(said(&file().replace("8192-16383", "8191-16383")).contains("owns slots of another"));
        assert!(said(&file().replace(PEER, ID)).contains("twice"));
        assert!(said(&file().replace("127.0.0.3:", "127.0.0.3;")).contains("is not an address"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_but_never_panics(text in "(?s).{0,200}") {
            let _ = NodesConf::parse(&text);
        }
    }

    #[test]
    fn no_file_with_zeros_in_it_is_whole() {
        let file = file();
        // In a time, which is not looked at otherwise, the rest of the next line becomes one of this one's.
        for start in 0..file.len() {
            for length in 1..=(file.len() - start) {
                let mut bytes = file.clone().into_bytes();
                bytes[start..start + length].fill(0);
                let text = String::from_utf8(bytes).unwrap();
                assert!(NodesConf::parse(&text).is_err(), "{length} zeros at {start}");
            }
        }
    }
}
