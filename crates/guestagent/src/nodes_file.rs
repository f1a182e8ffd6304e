//! redis-server's nodes.conf and the agent's copy of it. A node that lost the file, or finds it damaged, comes back as the
//! node that it was. Left alone, redis-server takes an empty file for none and begins as a stranger with the data of a
//! member.
//!
//! Redis writes the file before it tells anybody of a change; so a file that was cut while it was written had nothing new
//! in it that others know, and the copy of the one before is the truth. Only what is damaged later, and was not copied
//! since, leaves a copy that is older: see docs/adr/0019-nodes-conf.md.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redtrove_core::NodeId;
use redtrove_core::topology::NodesConf;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::home::{Home, NODES_CONF};
use crate::state::{NodeState, Shut};

/// The copy: a line with its checksum, then the file.
const COPY: &str = "nodes.conf.copy";
/// Where a file that cannot be used is put aside, for people.
const ASIDE: &str = "data/nodes.conf.damaged";
/// The id that others may know the node by.
const NODE_ID: &str = "node-id";

/// The file of one node.
#[derive(Debug)]
pub struct NodesFile {
    home: Arc<Home>,
    /// The id that has left the agent; absent while none has.
    told: Mutex<Option<NodeId>>,
    /// Held while files are read and written.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    copy: Option<Copy>,
    /// The file as it was at the last look.
    seen: Option<Stamp>,
    /// The file as it was when it was last read whole.
    read: Option<Stamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Copy {
    myself: NodeId,
    text: String,
}

/// What tells one version of a file from the next, for as long as some time passes in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// What a look at the file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is whole, and copied.
    Kept,
    /// It has changed since the last look, and is read at the next one: it may be in the middle of being written.
    Changing,
    /// It could not be used to start redis-server with, and why.
    Bad(String),
}

/// With what redis-server may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The file as it is.
    AsItIs,
    /// The agent's copy.
    FromCopy,
    /// No file: nobody waits for a node that was here before.
    Anew,
}

impl NodesFile {
    /// Reads what is known of the node. A copy that is damaged is none.
    pub fn open(home: Arc<Home>) -> Result<Self, Failure> {
        let told = home.read(NODE_ID).map_err(|error| Failure::file(NODE_ID, &error))?;
        let unreadable = |_| Failure::Internal(format!("the file {NODE_ID} does not hold a node's id"));
        let told = told.map(|text| text.trim().parse().map_err(unreadable)).transpose()?;
        let copy = home.read_bytes(COPY).map_err(|error| Failure::file(COPY, &error))?;
        let found = copy.is_some();
        let copy = copy.and_then(|bytes| Copy::read(&bytes));
        if found && copy.is_none() {
            tracing::warn!("the copy of nodes.conf is damaged; it is made again of the next whole file");
        }
        Ok(Self { home, told: Mutex::new(told), known: Mutex::new(Known { copy, seen: None, read: None }) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id that others may know the node by.
    pub fn told(&self) -> Option<NodeId> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down the id that is about to be told. It is on the disk when this returns.
    pub fn record(&self, id: NodeId) -> Result<(), Failure> {
        let _one_at_a_time = self.known();
        self.home.write(NODE_ID, &format!("{id}\n")).map_err(|error| Failure::file(NODE_ID, &error))?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        Ok(())
    }

    /// Looks at the file and copies it if it is another one, whole and of this node. A copy that cannot be written is an
    /// error, and the one before stays.
    pub fn look(&self) -> io::Result<Look> {
        let mut known = self.known();
        let Some(stamp) = Stamp::of(&self.home)? else {
            (known.seen, known.read) = (None, None);
            return Ok(Look::Bad("it is gone".to_owned()));
        };
        if known.read == Some(stamp) {
            return Ok(Look::Kept);
        }
        if known.seen.replace(stamp) != Some(stamp) {
            return Ok(Look::Changing);
        }
        let text = self.home.read_bytes(NODES_CONF)?.unwrap_or_default();
        if Stamp::of(&self.home)? != Some(stamp) {
            return Ok(Look::Changing);
        }
        let copy = match Copy::of(&text) {
            Ok(copy) => copy,
            Err(problem) => return Ok(Look::Bad(problem)),
        };
        let ours = self.told().is_none_or(|told| told == copy.myself);
        if ours && known.copy.as_ref() != Some(&copy) {
            self.home.write(COPY, &copy.with_checksum())?;
            known.copy = Some(copy);
        }
        known.read = Some(stamp);
        Ok(Look::Kept)
    }

    /// Sees to it that redis-server, which does not run, can be started as the node that it was. Says what had to be done;
    /// the error says why it cannot be started. One process at a time: what the agent has put right is not put aside by
    /// one that systemd starts before redis-server, and the other way round.
    pub fn mend(&self) -> Result<Option<String>, String> {
        let failed = |error: io::Error| Failure::file(NODES_CONF, &error).to_string();
        let _alone = self.home.alone().map_err(failed)?;
        let state = NodeState::load(&self.home).map_err(|error| error.to_string())?;
        let found = match self.home.read_bytes(NODES_CONF).map_err(failed)? {
            Some(bytes) => Copy::of(&bytes).map(|file| file.myself),
            None => Err("it is gone".to_owned()),
        };
        let known = self.known();
        let copy = known.copy.as_ref().map(|copy| copy.myself);
        let start = judge(&found, copy, self.told(), state.as_ref())?;
        let problem = match (start, &found) {
            (Start::AsItIs, _) => return Ok(None),
            (_, Ok(other)) => format!("it is that of node {other}"),
            (_, Err(problem)) => problem.clone(),
        };
        let was_there = self.home.put_aside(NODES_CONF, ASIDE).map_err(failed)?;
        match known.copy.as_ref().filter(|_| start == Start::FromCopy) {
            Some(copy) => {
                self.home.write(NODES_CONF, &copy.text).map_err(failed)?;
                Ok(Some(format!(
                    "nodes.conf cannot be used: {problem}; node {} starts with the copy of it",
                    copy.myself
                )))
            }
            // One that never started has no file yet.
            None if !was_there => Ok(None),
            None => Ok(Some(format!("nodes.conf cannot be used: {problem}; nobody knows the node, so it starts anew"))),
        }
    }
}

/// With what a node may be started whose file is that of the node `found`, or is none.
fn judge(
    found: &Result<NodeId, String>,
    copy: Option<NodeId>,
    told: Option<NodeId>,
    state: Option<&NodeState>,
) -> Result<Start, String> {
    let found_id = found.as_ref().ok().copied();
    match state.and_then(|state| state.shut) {
        // It gave its id up, and nobody knows another one of it.
        Some(Shut::Left(old)) => Ok(if found_id.is_some_and(|id| id != old) { Start::AsItIs } else { Start::Anew }),
        // It has its old id or, if it was cut short after the reset, a new one.
        Some(Shut::Leaving(old)) => Ok(match (found_id, copy) {
            (Some(_), _) => Start::AsItIs,
            (None, Some(copy)) if copy == old => Start::FromCopy,
            (None, _) => Start::Anew,
        }),
        Some(Shut::Until(_)) | None => {
            if found_id.is_some_and(|id| told.is_none_or(|told| told == id)) {
                return Ok(Start::AsItIs);
            }
            if copy.is_some_and(|id| told.is_none_or(|told| told == id)) {
                return Ok(Start::FromCopy);
            }
            // Agents that did not write it down told it, too.
            let is_member = told.is_some() || state.is_some_and(|state| state.complete);
            if !is_member {
                return Ok(Start::Anew);
            }
            let problem = match found {
                Ok(other) => format!("it is that of node {other}"),
                Err(problem) => problem.clone(),
            };
            let node = told.map(|id| format!(" {id}")).unwrap_or_default();
            Err(format!(
                "redis-server is not started: its file nodes.conf cannot be used ({problem}), and there is no good copy of \
                 it. Started without, it would be a stranger to its cluster, not the node{node} that it was. Put the file \
                 back, or remove the member"
            ))
        }
    }
}

impl Copy {
    /// The file of these bytes, if it is whole.
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is damaged (it is not text)".to_owned())?;
        let conf = NodesConf::parse(text).map_err(|error| error.to_string())?;
        Ok(Self { myself: conf.myself, text: text.to_owned() })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (checksum, text) = str::from_utf8(bytes).ok()?.split_once('\n')?;
        if checksum != checksum_line(text) {
            return None;
        }
        Self::of(text.as_bytes()).ok()
    }

    fn with_checksum(&self) -> String {
        format!("{}\n{}", checksum_line(&self.text), self.text)
    }
}

fn checksum_line(text: &str) -> String {
    let digits: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256 {digits}")
}

impl Stamp {
    /// Of the present file; absent if there is none.
    fn of(home: &Home) -> io::Result<Option<Self>> {
        match fs::metadata(home.path(NODES_CONF)) {
            Ok(meta) => Ok(Some(Self {
                inode: meta.ino(),
                length: meta.len(),
                seconds: meta.mtime(),
                nanoseconds: meta.mtime_nsec(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
