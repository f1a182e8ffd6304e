//! Who has which address: one symbolic link an address, made exclusively, so that no two processes take the same.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use redtrove_core::InstanceId;

use super::config::AddressBlock;
use super::layout::names;

/// How long a connection on loopback may take. A free address refuses at once; one that says nothing is in use.
const ANSWER_TAKES: Duration = Duration::from_millis(100);
/// So many addresses in use that nobody here has claimed: somebody listens on all of them.
const FOREIGN_AT_MOST: usize = 32;

/// No address for an instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    #[error("the claims on addresses cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("every address of {0} is in use")]
    Exhausted(AddressBlock),
    #[error("{FOREIGN_AT_MOST} free addresses answer on one of the ports {0:?}: a server listens on all addresses")]
    Foreign([u16; 3]),
}

/// The claims on one block.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) directory: PathBuf,
    pub(super) block: AddressBlock,
    /// The ports that must be free on an address: redis-server's two and the agent's.
    pub(super) ports: [u16; 3],
}

impl Claims {
    /// All of them.
    pub(super) fn all(&self) -> io::Result<BTreeMap<Ipv4Addr, InstanceId>> {
        let names = names(&self.directory)?;
        Ok(names.iter().filter_map(|name| Some((name.parse().ok()?, self.holder(name)?))).collect())
    }

    fn holder(&self, name: &str) -> Option<InstanceId> {
        fs::read_link(self.directory.join(name)).ok()?.to_str()?.parse().ok()
    }

    /// Claims a free address for an instance that has no server yet; one that it has claimed already, if any.
    pub(super) fn claim(&self, id: InstanceId) -> Result<Ipv4Addr, ClaimError> {
        let taken = self.all()?;
        for (address, _) in taken.iter().filter(|(_, holder)| **holder == id) {
            if !self.answers(*address) {
                return Ok(*address);
            }
            self.remove(*address)?;
        }
        let mut foreign = 0;
        for address in self.candidates(id).filter(|address| !taken.contains_key(address)) {
            if !self.hold(id, address)? {
                continue;
            }
            if !self.answers(address) {
                return Ok(address);
            }
            self.remove(address)?;
            foreign += 1;
            if foreign == FOREIGN_AT_MOST {
                return Err(ClaimError::Foreign(self.ports));
            }
        }
        Err(ClaimError::Exhausted(self.block))
    }

    /// Every address once, from a place that the id decides: an address that just became free is not the next one
    /// given, since nodes of its old cluster may still look for their peer there.
    fn candidates(&self, id: InstanceId) -> impl Iterator<Item = Ipv4Addr> {
        let all: Vec<Ipv4Addr> = self.block.addresses().collect();
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let start = usize::try_from(hasher.finish() % (all.len().max(1) as u64)).unwrap_or(0);
        let count = all.len();
        all.into_iter().cycle().skip(start).take(count)
    }

    /// Claims this very address; false if somebody else has it.
    pub(super) fn hold(&self, id: InstanceId, address: Ipv4Addr) -> io::Result<bool> {
        let name = address.to_string();
        match symlink(id.to_string(), self.directory.join(&name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(self.holder(&name) == Some(id)),
            Err(error) => Err(error),
        }
    }

    /// Frees every address of the instance.
    pub(super) fn release(&self, id: InstanceId) -> io::Result<()> {
        for (address, _) in self.all()?.into_iter().filter(|(_, holder)| *holder == id) {
            self.remove(address)?;
        }
        Ok(())
    }

    fn remove(&self, address: Ipv4Addr) -> io::Result<()> {
        match fs::remove_file(self.directory.join(address.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether anybody listens there, a server that is stopped or overloaded included.
    fn answers(&self, address: Ipv4Addr) -> bool {
        self.ports.iter().any(|port| {
            match TcpStream::connect_timeout(&SocketAddr::from((address, *port)), ANSWER_TAKES) {
                Ok(_) => true,
                Err(error) => error.kind() == io::ErrorKind::TimedOut,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use uuid::Uuid;

    use super::*;

    fn claims(directory: &tempfile::TempDir, block: &str, ports: [u16; 3]) -> Claims {
        Claims { directory: directory.path().to_owned(), block: block.parse().unwrap(), ports }
    }

    fn id(n: u128) -> InstanceId {
        InstanceId(Uuid::from_u128(n))
    }

    #[test]
    fn every_address_is_given_once_and_then_none() {
        let directory = tempfile::tempdir().unwrap();
        // .4 to .15 of a /28: twelve.
        let claims = claims(&directory, "127.249.3.0/28", [6379, 16379, 8780]);
        let mut given: Vec<Ipv4Addr> = (1..=12).map(|n| claims.claim(id(n)).unwrap()).collect();
        assert_eq!(claims.claim(id(5)).unwrap(), given[4], "asked again, the same");
        assert!(matches!(claims.claim(id(13)), Err(ClaimError::Exhausted(_))));
        claims.release(id(7)).unwrap();
        assert_eq!(claims.claim(id(13)).unwrap(), given[6]);
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 12);
    }

    #[test]
    fn an_address_that_answers_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.249.4.9:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let claims = claims(&directory, "127.249.4.0/28", [1, 2, port]);
        let given: Vec<Ipv4Addr> = (1..=11).map(|n| claims.claim(id(n)).unwrap()).collect();
        assert!(!given.contains(&Ipv4Addr::new(127, 249, 4, 9)), "{given:?}");
        assert!(matches!(claims.claim(id(12)), Err(ClaimError::Exhausted(_))));
        drop(listener);
        assert_eq!(claims.claim(id(12)).unwrap(), Ipv4Addr::new(127, 249, 4, 9));
    }

    #[test]
    fn a_server_on_all_addresses_is_named_as_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = claims(&directory, "127.249.5.0/24", [1, 2, port]).claim(id(1)).unwrap_err();
        assert!(error.to_string().contains("listens on all addresses"), "{error}");
        assert_eq!(names(directory.path()).unwrap(), Vec::<String>::new(), "nothing stays claimed");
    }
}
