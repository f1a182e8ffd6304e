//! What a guest needs to prove who it is.

use std::error::Error;

use redtrove_core::InstanceId;
use secrecy::SecretString;

/// A guest's certificate, its key, and the authority that it trusts; all PEM.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The authority whose clients the guest lets in.
    pub ca_pem: String,
    /// The guest's certificate: good for a server only, its DNS name is the instance's id.
    pub cert_pem: String,
    /// The private key to it.
    pub key_pem: SecretString,
}

/// No certificate was issued.
#[derive(Debug, thiserror::Error)]
#[error("no certificate could be issued")]
pub struct IssueError(#[source] pub Box<dyn Error + Send + Sync>);

/// Issues certificates to guests. May block for as long as a signature takes.
pub trait Issuer: Send + Sync + 'static {
    /// A new certificate for the guest of the instance. Asked twice, it issues two.
    ///
    /// # Errors
    /// The authority's key cannot be used.
    fn issue(&self, id: InstanceId) -> Result<Credentials, IssueError>;
}
