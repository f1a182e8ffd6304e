//! The two calls to Keystone: log in, and ask about a token.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redtrove_core::Timestamp;
use redtrove_service::secrets;
use redtrove_service::tls::install_crypto_provider;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Certificate, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};

use super::KeystoneError;
use super::documents::{Document, Login};
use crate::auth::Identity;
use crate::config;

const OWN: HeaderName = HeaderName::from_static("x-auth-token");
const SUBJECT: HeaderName = HeaderName::from_static("x-subject-token");
/// An answer without a catalogue has one or two kilobytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// Who does not take a connection in this time is away.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// What Keystone says of a token.
pub(super) enum Checked {
    /// Good, for this caller, until then.
    Good(Identity, Timestamp),
    /// Good, and for no project.
    WithoutProject,
    /// Made up, ended or revoked.
    Unknown,
}

/// Why there is no word of Keystone's about a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("Keystone cannot be reached: {0}")]
    Unreachable(String),
    #[error("Keystone answered {status} when {to}")]
    Status { status: StatusCode, to: &'static str },
    #[error("Keystone answered something that is no token when {to}")]
    Garbage { to: &'static str },
    #[error("Keystone does not take our own token")]
    OwnTokenRefused,
    #[error("Keystone refuses the login of our own user")]
    LoginRefused,
    #[error("our own user's password cannot be read: {0}")]
    Password(#[from] secrets::SecretError),
    #[error("this daemon stops")]
    Closed,
}

/// Fits after "when".
const LOGGING_IN: &str = "we logged in";
const CHECKING: &str = "asked about a token";

/// A client of one Keystone, as one user.
pub(super) struct Client {
    http: reqwest::Client,
    tokens: String,
    user: Name,
    project: Name,
    password_file: PathBuf,
}

/// A name and its domain's.
struct Name(String, String);

impl Client {
    /// Reads password and authorities once, to complain at the start rather than at the first request.
    pub(super) fn new(config: &config::Keystone) -> Result<Self, KeystoneError> {
        secrets::read(&config.password_file)?;
        install_crypto_provider();
        // A redirect would take our tokens to somebody else, and a proxy is none that this daemon's file names.
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECTS_WITHIN)
            .timeout(config.timeout_seconds.duration());
        if let Some(path) = &config.ca_file {
            builder = builder.tls_certs_only(authorities(path)?);
        }
        let http = builder.build().map_err(|error| KeystoneError::Client(chain(error)))?;
        let base = config.auth_url.as_str();
        Ok(Self {
            http,
            tokens: format!("{}/v3/auth/tokens?nocatalog", base.strip_suffix("/v3").unwrap_or(base)),
            user: Name(config.username.clone(), config.user_domain_name.clone()),
            project: Name(config.project_name.clone(), config.project_domain_name.clone()),
            password_file: config.password_file.clone(),
        })
    }

    /// Asks for a token of our own: the token and when it ends.
    pub(super) async fn log_in(&self) -> Result<(SecretString, Timestamp), Trouble> {
        let password = secrets::read(&self.password_file)?;
        let (user, project) = ((&*self.user.0, &*self.user.1), (&*self.project.0, &*self.project.1));
        let login = Login::new(user, password.expose_secret(), project);
        let answer = self.http.post(&self.tokens).json(&login).send().await.map_err(unreachable)?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Trouble::LoginRefused),
            status => return Err(Trouble::Status { status, to: LOGGING_IN }),
        }
        let token = answer.headers().get(SUBJECT).and_then(|value| value.to_str().ok()).map(SecretString::from);
        let expires = document(answer, LOGGING_IN).await?.expires();
        token.zip(expires).ok_or(Trouble::Garbage { to: LOGGING_IN })
    }

    /// Asks with `own` about `subject`.
    pub(super) async fn check(&self, own: &SecretString, subject: &SecretString) -> Result<Checked, Trouble> {
        let request = || -> Result<RequestBuilder, Trouble> {
            Ok(self.http.get(&self.tokens).header(OWN, secret(own)?).header(SUBJECT, secret(subject)?))
        };
        let answer = match request()?.send().await {
            // A connection that was kept for reuse may have been closed at the other end meanwhile.
            Err(error) if !error.is_timeout() => request()?.send().await,
            answer => answer,
        };
        let answer = answer.map_err(unreachable)?;
        match answer.status() {
            StatusCode::OK => read(document(answer, CHECKING).await?),
            StatusCode::NOT_FOUND => Ok(Checked::Unknown),
            StatusCode::UNAUTHORIZED => Err(Trouble::OwnTokenRefused),
            status => Err(Trouble::Status { status, to: CHECKING }),
        }
    }
}

fn read(document: Document) -> Result<Checked, Trouble> {
    if !document.has_project() {
        return Ok(Checked::WithoutProject);
    }
    let expires = document.expires();
    let good = document.identity().zip(expires);
    good.map(|(identity, expires)| Checked::Good(identity, expires)).ok_or(Trouble::Garbage { to: CHECKING })
}

async fn document(mut answer: Response, to: &'static str) -> Result<Document, Trouble> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&part);
        if bytes.len() > LONGEST_ANSWER {
            return Err(Trouble::Garbage { to });
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| Trouble::Garbage { to })
}

/// A header that no log line of the HTTP client shows.
fn secret(token: &SecretString) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| Trouble::Garbage { to: LOGGING_IN })?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(error: reqwest::Error) -> Trouble {
    Trouble::Unreachable(chain(error.without_url()))
}

fn chain(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, KeystoneError> {
    let unusable = |problem: String| KeystoneError::Authorities { path: path.display().to_string(), problem };
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(unusable("it holds no certificate".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(chain(error))),
    }
}
