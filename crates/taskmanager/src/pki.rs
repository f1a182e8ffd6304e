//! The installation's own certificate authority: who may call a guest, and which guest one talks to.
//!
//! `redtrove-taskmanager pki init` makes it, `pki issue` makes the certificates of the control plane, and every
//! guest gets its own at birth through [`GuestIssuer`]. A guest's certificate is good for a server only and a
//! control plane's for a client only, so what is stolen from a guest opens no other.

mod authority;
pub mod cli;
mod files;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redtrove_compute::{Credentials, IssueError, Issuer};
use redtrove_core::{InstanceId, Timestamp};
use redtrove_engine::ports::Clock;
use redtrove_guest_rpc::role::Role;

pub use self::authority::{Authority, Issued};

/// Trouble with certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// There is an authority already; certificates that it issued would stop working.
    #[error("{} exists and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} holds no {what} of this authority: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// "certificate" or "key".
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot sign a certificate")]
    Sign(#[from] rcgen::Error),
    /// The clock is far from any time that a certificate can state.
    #[error("the time {0:?} is out of range for a certificate")]
    Time(Timestamp),
}

/// The file names of an authority, in its directory.
pub const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";

/// Makes an authority in `directory`, which is made if it is missing: ca.pem and ca.key (mode 0600). Valid for ten
/// years.
///
/// # Errors
/// There is one already, or the files cannot be written.
pub fn init(directory: &Path, now: Timestamp) -> Result<(), PkiError> {
    let (certificate, key) = (directory.join(CA_FILE), directory.join(CA_KEY_FILE));
    for path in [&certificate, &key] {
        if files::exists(path)? {
            return Err(PkiError::Exists(path.clone()));
        }
    }
    let issued = Authority::create(now)?;
    files::make_directory(directory)?;
    // Without its key a certificate is of no use to anybody: the key comes first.
    files::write_new_secret(&key, &issued.key_pem)?;
    files::write_new(&certificate, &issued.cert_pem)
}

/// Issues the control plane's certificate of a role, valid for one year: `<role>.pem` and `<role>.key` (mode 0600)
/// in `out_dir`, which is made if it is missing. Earlier ones are replaced, since this is how they are renewed.
///
/// # Errors
/// There is no usable authority in `directory`, or the files cannot be written.
pub fn issue(directory: &Path, role: Role, out_dir: &Path, now: Timestamp) -> Result<(), PkiError> {
    let issued = Authority::load(directory, now)?.issue_role(role, now)?;
    files::make_directory(out_dir)?;
    let name = role_name(role);
    files::replace_secret(&out_dir.join(format!("{name}.key")), &issued.key_pem)?;
    files::replace(&out_dir.join(format!("{name}.pem")), &issued.cert_pem)
}

/// The name of a role on the command line and in files.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Control => "control",
        Role::Reader => "reader",
    }
}

/// Issues the certificates of guests at birth.
pub struct GuestIssuer {
    authority: Authority,
    clock: Arc<dyn Clock>,
}

impl GuestIssuer {
    /// An issuer with the authority in `directory`.
    ///
    /// # Errors
    /// There is no usable authority.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Self, PkiError> {
        Ok(Self { authority: Authority::load(directory, clock.now())?, clock })
    }
}

impl Issuer for GuestIssuer {
    fn issue(&self, id: InstanceId) -> Result<Credentials, IssueError> {
        let issued = self.authority.issue_guest(id, self.clock.now()).map_err(|error| IssueError(Box::new(error)))?;
        let ca_pem = self.authority.ca_pem().to_owned();
        Ok(Credentials { ca_pem, cert_pem: issued.cert_pem, key_pem: issued.key_pem })
    }
}

#[cfg(test)]
mod tests;
