//! Tokens from a file: for demonstrations and tests, where there is no Keystone.

use std::path::Path;

use async_trait::async_trait;
use redtrove_core::ProjectId;
use redtrove_service::config::ConfigError;
use redtrove_service::secrets::{self, SecretError};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{AuthError, Authenticator, Identity};

/// Every token there is; they never expire.
#[derive(Debug)]
pub struct StaticTokens(Vec<(SecretString, Identity)>);

/// Why a file of tokens was not taken. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file is not a list of tokens.
    #[error("the file of tokens is wrong: {0}")]
    Invalid(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tokens: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    token: SecretString,
    project_id: ProjectId,
    user_id: String,
    roles: Vec<String>,
}

impl StaticTokens {
    /// Reads a TOML file of `[[tokens]]` with `token`, `project_id`, `user_id` and `roles`.
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let text = secrets::read(path)?;
        Self::parse(path, text.expose_secret())
    }

    fn parse(path: &Path, text: &str) -> Result<Self, TokensError> {
        let file: File = redtrove_service::config::parse(path, text).map_err(|error| {
            // The parser's own sentence may quote a token.
            TokensError::Invalid(match error {
                ConfigError::Invalid { path, line, column, key, .. } => {
                    format!("{}, line {line}, column {column}, key '{key}'", path.display())
                }
                ConfigError::Unreadable { path, .. } => path.display().to_string(),
            })
        })?;
        let tokens = file.tokens.into_iter().map(|entry| {
            if entry.token.expose_secret().trim().is_empty() {
                return Err(TokensError::Invalid(format!("{}: a token is empty", path.display())));
            }
            Ok((entry.token, Identity { project: entry.project_id, user: entry.user_id, roles: entry.roles }))
        });
        tokens.collect::<Result<_, _>>().map(Self)
    }
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn identify(&self, token: &str) -> Result<Identity, AuthError> {
        // All are looked at, each in full, so that the time taken tells nothing about any of them.
        let mut found = None;
        for (known, identity) in &self.0 {
            if bool::from(known.expose_secret().as_bytes().ct_eq(token.as_bytes())) {
                found = Some(identity);
            }
        }
        found.cloned().ok_or(AuthError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[tokens]]\ntoken = \"canary-one\"\nproject_id = \"p1\"\nuser_id = \"u1\"\nroles = [\"member\"]\n\
                        [[tokens]]\ntoken = \"canary-two\"\nproject_id = \"p2\"\nuser_id = \"u2\"\nroles = []\n";

    fn parse(text: &str) -> Result<StaticTokens, TokensError> {
        StaticTokens::parse(Path::new("/etc/tokens.toml"), text)
    }

    #[tokio::test]
    async fn a_token_is_its_owner_and_nobody_else() {
        let tokens = parse(FILE).unwrap();
        assert_eq!(tokens.identify("canary-one").await.unwrap().project.as_str(), "p1");
        assert_eq!(tokens.identify("canary-two").await.unwrap().user, "u2");
        for token in ["", "canary", "canary-one ", "CANARY-ONE", "canary-onecanary-two"] {
            assert_eq!(tokens.identify(token).await, Err(AuthError::Invalid), "{token:?}");
        }
        assert!(!format!("{tokens:?}").contains("canary"));
    }

    #[test]
    fn a_bad_file_is_refused_without_quoting_it() {
        for (from, to) in [
            ("token = \"canary-one\"", "token = canary-one"),
            ("token = \"canary-one\"", "token = \"  \""),
            ("token = \"canary-one\"", "tokn = \"canary-one\""),
            ("\"p1\"", "\"../p1\""),
            ("[\"member\"]", "\"canary\""),
        ] {
            let error = parse(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains("/etc/tokens.toml"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
