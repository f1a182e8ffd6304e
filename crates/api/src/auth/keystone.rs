//! Tokens of OpenStack's identity service, Keystone v3, checked online and remembered for a short time.
//!
//! Modelled on what Python's keystonemiddleware does for Trove: this service logs in as a user of its own and asks
//! Keystone about every token that it does not know yet. What Keystone says is kept by the token's hash. Whatever
//! keeps Keystone from answering ends in [`AuthError::Unavailable`]: nobody comes in on a guess, and nobody is told
//! that his token is bad because Keystone is away.

mod client;
mod documents;
mod own_token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moka::Expiry;
use moka::future::Cache;
use redtrove_core::Timestamp;
use redtrove_engine::ports::Clock;
use redtrove_service::secrets::SecretError;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use self::client::{Checked, Client, Trouble};
use self::own_token::OwnToken;
use super::{AuthError, Authenticator, Identity};
use crate::config;
use crate::metrics::TokenChecks;

/// Tokens that are remembered at most, good or bad; about 10 MB.
const REMEMBERED: u64 = 20_000;
/// Checks at a time. More wait, so that a flood of made-up tokens costs Keystone no more than this.
const CHECKS_AT_A_TIME: usize = 64;
/// Fernet tokens have about 200 characters, signed ones some thousand.
const LONGEST_TOKEN: usize = 8192;

/// Why the authenticator cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum KeystoneError {
    /// The password cannot be read.
    #[error(transparent)]
    Password(#[from] SecretError),
    /// The authorities cannot be read.
    #[error("ca_file {path} cannot be used: {problem}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Asks Keystone, and remembers what it said.
pub struct Keystone {
    client: Client,
    own: OwnToken,
    known: Cache<[u8; 32], Known>,
    slots: Semaphore,
    clock: Arc<dyn Clock>,
    times: Times,
    checks: TokenChecks,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    keep: Duration,
    keep_refused: Duration,
    check_within: Duration,
}

/// What Keystone said of a token.
#[derive(Clone)]
struct Known {
    verdict: Result<Arc<Identity>, AuthError>,
    /// When the token itself ends; none for one that is not good.
    expires: Option<Timestamp>,
    keep: Duration,
}

/// Each entry lives as long as it says.
struct OwnTime;

impl Expiry<[u8; 32], Known> for OwnTime {
    fn expire_after_create(&self, _: &[u8; 32], known: &Known, _: Instant) -> Option<Duration> {
        Some(known.keep)
    }
}

impl Keystone {
    /// Reads what the configuration names; asks nothing yet.
    pub fn new(config: &config::Keystone, clock: Arc<dyn Clock>, checks: TokenChecks) -> Result<Self, KeystoneError> {
        let client = Client::new(config)?;
        let times = Times {
            keep: config.cache_seconds.duration(),
            keep_refused: config.negative_cache_seconds.duration(),
            check_within: config.timeout_seconds.duration(),
        };
        Ok(Self {
            client,
            own: OwnToken::new(times.keep_refused, clock.clone()),
            known: Cache::builder().max_capacity(REMEMBERED).expire_after(OwnTime).build(),
            slots: Semaphore::new(CHECKS_AT_A_TIME),
            clock,
            times,
            checks,
        })
    }

    /// Logs in once, so that an operator sees at the start of the daemon whether it can.
    pub async fn log_in(&self) -> Result<(), AuthError> {
        match tokio::time::timeout(self.times.check_within, self.own.get(&self.client)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(trouble)) => Err(AuthError::Unavailable(trouble.to_string())),
            Err(_) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> AuthError {
        AuthError::Unavailable(format!("Keystone took longer than {} s", self.times.check_within.as_secs()))
    }

    /// One check, of which all who ask about the same token at the same time get the answer.
    async fn check(&self, token: &SecretString) -> Result<Known, AuthError> {
        let work = async {
            let _slot = self.slots.acquire().await.map_err(|_| Trouble::Closed)?;
            self.ask(token).await
        };
        let began = tokio::time::Instant::now();
        let answer = match tokio::time::timeout(self.times.check_within, work).await {
            Ok(Ok(checked)) => Ok(self.judge(checked)),
            Ok(Err(trouble)) => Err(AuthError::Unavailable(trouble.to_string())),
            Err(_) => Err(self.too_slow()),
        };
        let verdict = match &answer {
            Ok(known) if known.verdict.is_ok() => "good",
            Ok(_) => "refused",
            Err(_) => "unavailable",
        };
        self.checks.count(verdict, began.elapsed());
        answer
    }

    /// Asks with our own token, and once more with a new one if Keystone does not take it any longer.
    async fn ask(&self, token: &SecretString) -> Result<Checked, Trouble> {
        let own = self.own.get(&self.client).await?;
        match self.client.check(&own, token).await {
            Err(Trouble::OwnTokenRefused) => {
                self.own.forget(&own).await;
                let own = self.own.get(&self.client).await?;
                self.client.check(&own, token).await
            }
            answer => answer,
        }
    }

    fn judge(&self, checked: Checked) -> Known {
        let refused = |error| Known { verdict: Err(error), expires: None, keep: self.times.keep_refused };
        match checked {
            Checked::Unknown => refused(AuthError::Invalid),
            Checked::WithoutProject => refused(AuthError::NoProject),
            Checked::Good(identity, expires) => {
                let left = expires.since(self.clock.now());
                if left.is_zero() {
                    return refused(AuthError::Invalid);
                }
                Known { verdict: Ok(Arc::new(identity)), expires: Some(expires), keep: left.min(self.times.keep) }
            }
        }
    }
}

#[async_trait]
impl Authenticator for Keystone {
    async fn identify(&self, token: &str) -> Result<Identity, AuthError> {
        // Nothing that could not stand in a header, and no riddles for Keystone.
        if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(AuthError::Invalid);
        }
        let key: [u8; 32] = Sha256::digest(token).into();
        let known = match self.known.get(&key).await {
            Some(known) => known,
            None => {
                let token = SecretString::from(token);
                let check = async move { self.check(&token).await };
                self.known.try_get_with(key, check).await.map_err(|error| AuthError::clone(&error))?
            }
        };
        // The cache counts on a clock that nobody sets; a token ends by the clock on the wall.
        if known.expires.is_some_and(|expires| expires <= self.clock.now()) {
            return Err(AuthError::Invalid);
        }
        known.verdict.map(|identity| Identity::clone(&identity))
    }
}
