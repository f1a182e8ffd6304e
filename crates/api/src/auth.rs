//! Who calls: from a token to an identity.

mod keystone;
mod static_tokens;

use async_trait::async_trait;
use redtrove_core::ProjectId;

pub use keystone::{Keystone, KeystoneError};
pub use static_tokens::{StaticTokens, TokensError};

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The project the token was issued for.
    pub project: ProjectId,
    /// The user's id.
    pub user: String,
    /// The names of the roles that the user has in the project.
    pub roles: Vec<String>,
}

impl Identity {
    /// Whether it has OpenStack's role for administrators.
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case("admin"))
    }
}

/// Why a token gives no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is none, or is no longer valid.
    #[error("the token is not valid")]
    Invalid,
    /// It is good, and is for a domain, for the system or for nothing at all.
    #[error("the token is not for a project")]
    NoProject,
    /// Whoever knows tokens cannot be asked. Nobody comes in, and nobody is told that his token is bad.
    #[error("tokens cannot be checked: {0}")]
    Unavailable(String),
}

/// Whoever knows tokens.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Finds out whom `token` speaks for.
    async fn identify(&self, token: &str) -> Result<Identity, AuthError>;
}
