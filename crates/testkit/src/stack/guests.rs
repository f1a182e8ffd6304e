//! The guests of a stack, read from their directories and from /proc.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::layout::Layout;
use crate::process::Process;
use crate::process::table::{Found, of_stack};

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The instance's id.
    pub id: String,
    /// Where its agent and its redis-server listen.
    pub ip: String,
    /// The agent's gRPC port.
    pub port: u16,
    /// Its directory.
    pub dir: PathBuf,
    /// The agent, if it runs.
    pub agent: Option<Process>,
    /// redis-server, if it runs.
    pub redis: Option<Process>,
}

/// The part of an agent's configuration that is of interest here.
#[derive(Deserialize)]
struct AgentConfig {
    guestagent: GuestAgent,
}

#[derive(Deserialize)]
struct GuestAgent {
    instance_id: String,
    bind_ip: String,
    port: u16,
}

/// The guests of the stack in `dir`, by id. A directory that is still being made or removed is left out.
///
/// # Errors
/// There is no such stack.
pub fn guests(dir: &Path) -> Result<Vec<Guest>> {
    let layout = Layout::open(dir)?;
    let running = of_stack(layout.dir());
    let entries = fs::read_dir(layout.instances()).with_context(|| format!("no stack is in {}", dir.display()))?;
    let mut guests: Vec<Guest> = entries.filter_map(|entry| read(&entry.ok()?.path(), &running)).collect();
    guests.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(guests)
}

fn read(dir: &Path, running: &[Found]) -> Option<Guest> {
    let text = fs::read_to_string(dir.join("agent.toml")).ok()?;
    let config: AgentConfig = toml::from_str(&text).ok()?;
    let find = |names: &[&str]| {
        let found = running.iter().find(|found| names.contains(&found.name.as_str()) && found.is_in(dir));
        found.map(|found| found.process)
    };
    Some(Guest {
        id: config.guestagent.instance_id,
        ip: config.guestagent.bind_ip,
        port: config.guestagent.port,
        dir: dir.to_owned(),
        agent: find(&["redtrove-guesta"]),
        redis: find(&["redis-server", "valkey-server"]),
    })
}

#[cfg(test)]
mod tests {
    use super::guests;
    use crate::stack::layout::Layout;

    #[test]
    fn a_half_made_guest_is_left_out() {
        let parent = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(&parent.path().join("stack")).expect("a new stack");
        for (name, config) in [
            ("b", "[guestagent]\ninstance_id = \"b\"\nbind_ip = \"127.20.0.6\"\nport = 8780\ndirectory = \"x\"\n"),
            ("a", "[guestagent]\ninstance_id = \"a\"\nbind_ip = \"127.20.0.5\"\nport = 8780\n[tls]\nca = \"x\"\n"),
            ("c", "[guestag"),
        ] {
            std::fs::create_dir(layout.instances().join(name)).expect("a directory");
            std::fs::write(layout.instances().join(name).join("agent.toml"), config).expect("written");
        }
        std::fs::create_dir(layout.instances().join("d")).expect("a directory");

        let found = guests(layout.dir()).expect("a stack");
        let ids: Vec<(&str, &str)> = found.iter().map(|guest| (guest.id.as_str(), guest.ip.as_str())).collect();
        assert_eq!(ids, vec![("a", "127.20.0.5"), ("b", "127.20.0.6")]);
        assert!(found.iter().all(|guest| guest.agent.is_none() && guest.redis.is_none()));
    }
}
