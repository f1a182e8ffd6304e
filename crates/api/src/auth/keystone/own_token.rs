//! This service's own token: asked for once, renewed before it ends, replaced when Keystone does not take it.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::Timestamp;
use redtrove_engine::ports::Clock;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{Client, Trouble};

/// A token is renewed when it has less than this left, or less than a tenth of its life.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// The token, shared by all checks.
pub(super) struct OwnToken {
    state: Mutex<State>,
    /// How long a login that Keystone refused is not tried again: each try counts against the user.
    pause: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    refused: Option<Instant>,
}

struct Held {
    token: Arc<SecretString>,
    renew_at: Timestamp,
    expires: Timestamp,
}

impl OwnToken {
    pub(super) fn new(pause: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::new(State::default()), pause, clock }
    }

    /// A token that is good for a while, after a login if it has to be. Who comes meanwhile waits for that one login.
    pub(super) async fn get(&self, client: &Client) -> Result<Arc<SecretString>, Trouble> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some(held) = state.held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.token.clone());
        }
        let error = if state.refused.is_some_and(|at| at.elapsed() < self.pause) {
            Trouble::LoginRefused
        } else {
            match client.log_in().await {
                Ok((token, expires)) => {
                    let held = self.held(token, expires);
                    let token = held.token.clone();
                    *state = State { held: Some(held), refused: None };
                    return Ok(token);
                }
                Err(error) => {
                    state.refused = matches!(error, Trouble::LoginRefused).then(Instant::now);
                    error
                }
            }
        };
        // Too early to worry: the old one is still good.
        match state.held.as_ref().filter(|held| now < held.expires) {
            Some(held) => Ok(held.token.clone()),
            None => Err(error),
        }
    }

    fn held(&self, token: SecretString, expires: Timestamp) -> Held {
        let left = expires.since(self.clock.now());
        let renew_at = self.clock.now().after(left.saturating_sub(RENEW_BEFORE.min(left / 10)));
        Held { token: Arc::new(token), renew_at, expires }
    }

    /// Gives up a token that Keystone did not take, unless another check has replaced it already.
    pub(super) async fn forget(&self, token: &SecretString) {
        let mut state = self.state.lock().await;
        if state.held.as_ref().is_some_and(|held| held.token.expose_secret() == token.expose_secret()) {
            state.held = None;
        }
    }
}
