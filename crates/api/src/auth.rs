//! Who calls: from a token to an identity.

mod static_tokens;

use async_trait::async_trait;
use redtrove_core::ProjectId;

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

/// Why a token gives no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is none, or is no longer valid.
    #[error("the token is not valid")]
    Invalid,
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
