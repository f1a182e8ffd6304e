//! Where the broker is.

use std::fmt;

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};

/// After twice this many seconds without a sign of life a connection counts as lost.
const HEARTBEAT_SECONDS: u16 = 10;

/// The longest frame of one who only sends; RabbitMQ takes no less than 8 KiB.
const SENT_FRAME_BYTES: u32 = 16 * 1024;

/// The broker's address and credentials. Prints without the password.
#[derive(Clone)]
pub struct Settings {
    uri: AMQPUri,
}

/// A URL that names no broker. Never shows the URL: it holds a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// TLS to the broker.
    #[error("amqps:// is not supported by this build, use amqp:// on a network that is protected otherwise")]
    Tls,
    /// Anything else.
    #[error("the broker's URL is not of the form amqp://user:password@host:port/vhost")]
    Malformed,
}

impl Settings {
    /// Reads `amqp://user:password@host:port/vhost`; special characters of user, password and vhost are
    /// percent-encoded, and no vhost means `/`.
    pub fn parse(url: &SecretString) -> Result<Self, UrlError> {
        let mut uri: AMQPUri = url.expose_secret().trim().parse().map_err(|_| UrlError::Malformed)?;
        match uri.scheme {
            AMQPScheme::AMQP => {}
            AMQPScheme::AMQPS => return Err(UrlError::Tls),
        }
        uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
        Ok(Self { uri })
    }

    /// The same broker for one who only sends: with small frames, since lapin sets aside 64 of the longest (8 MB of what
    /// RabbitMQ offers). Longer messages take several. Whoever receives takes frames as long as others send them.
    pub(crate) fn for_sending(mut self) -> Self {
        self.uri.query.frame_max = Some(SENT_FRAME_BYTES);
        self
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    pub(crate) fn uri(&self) -> &AMQPUri {
        &self.uri
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, vhost) = (&self.uri.authority.userinfo.username, &self.uri.vhost);
        write!(f, "amqp://{user}:***@{}/{vhost}", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Settings, UrlError> {
        Settings::parse(&SecretString::from(url))
    }

    #[test]
    fn a_password_is_used_and_not_shown() {
        let settings = parse("amqp://u:can%2Fary@broker:5673/stack%2F1\n").unwrap();
        assert_eq!(settings.uri().authority.userinfo.password, "can/ary");
        assert_eq!(settings.uri().vhost, "stack/1");
        assert_eq!(settings.address(), "broker:5673");
        assert_eq!(format!("{settings:?}"), "amqp://u:***@broker:5673/stack/1");
    }

    #[test]
    fn other_urls_are_refused_without_being_shown() {
        assert_eq!(parse("amqps://u:canary@broker/x").unwrap_err(), UrlError::Tls);
        for url in ["", "canary", "http://u:canary@broker/", "amqp://u:canary@broker:99999/", "rabbit://u:canary@b/"] {
            let error = parse(url).unwrap_err();
            assert_eq!(error, UrlError::Malformed, "{url}");
            assert!(!error.to_string().contains("canary"));
        }
    }
}
