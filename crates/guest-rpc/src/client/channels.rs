//! One connection a guest, kept while it works.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redtrove_core::InstanceId;
use redtrove_engine::ports::Guest;
use secrecy::ExposeSecret as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use super::{Options, Tls};

/// So many connections are kept; over that, the one that was not used for longest is given up.
const MOST: usize = 4096;
/// How often to ask, during a call, whether the other side still lives, and how long it has to say so.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// The connections.
pub(super) struct Channels {
    tls: ClientTlsConfig,
    options: Options,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_instance: HashMap<InstanceId, Entry>,
    /// Counts uses; also numbers the connections.
    clock: u64,
}

struct Entry {
    ip: String,
    channel: Channel,
    number: u64,
    used: u64,
}

/// A connection to use for one call.
pub(super) struct Lent {
    pub(super) channel: Channel,
    /// Which one it is, for [`Channels::drop_one`].
    pub(super) number: u64,
    /// Nothing went over it yet.
    pub(super) is_new: bool,
}

/// No connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoChannel {
    #[error("'{0}' is not an IP address")]
    Address(String),
    #[error("no connection can be set up: {0}")]
    Setup(#[from] Error),
}

impl Channels {
    pub(super) fn new(tls: &Tls, options: Options) -> Result<Self, Error> {
        let identity = Identity::from_pem(&tls.cert_pem, tls.key_pem.expose_secret());
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&tls.ca_pem))
            .identity(identity)
            .timeout(options.connect_timeout);
        let channels = Self { tls: config, options, kept: Mutex::default() };
        // Whether the certificates can be used shows only here, and should not show at the first call.
        channels.endpoint("nobody", IpAddr::from([127, 0, 0, 1]))?;
        Ok(channels)
    }

    /// The guest's connection, made anew if there is none or if the guest has moved. Connects when it is used.
    pub(super) fn get(&self, guest: &Guest) -> Result<Lent, NoChannel> {
        let mut kept = self.lock();
        kept.clock += 1;
        let now = kept.clock;
        if let Some(entry) = kept.by_instance.get_mut(&guest.instance)
            && entry.ip == guest.ip
        {
            entry.used = now;
            return Ok(Lent { channel: entry.channel.clone(), number: entry.number, is_new: false });
        }
        let ip: IpAddr = guest.ip.parse().map_err(|_| NoChannel::Address(guest.ip.chars().take(64).collect()))?;
        let channel = self.endpoint(&guest.instance.to_string(), ip)?.connect_lazy();
        if kept.by_instance.len() >= MOST {
            let oldest = kept.by_instance.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            oldest.and_then(|id| kept.by_instance.remove(&id));
        }
        let entry = Entry { ip: guest.ip.clone(), channel: channel.clone(), number: now, used: now };
        kept.by_instance.insert(guest.instance, entry);
        Ok(Lent { channel, number: now, is_new: true })
    }

    /// The agent at `ip`, whose certificate must carry `name`.
    fn endpoint(&self, name: &str, ip: IpAddr) -> Result<Endpoint, Error> {
        let address = SocketAddr::new(ip, self.options.port);
        Endpoint::from_shared(format!("https://{address}"))?.tls_config(self.tls.clone().domain_name(name)).map(
            |endpoint| {
                endpoint
                    .connect_timeout(self.options.connect_timeout)
                    .tcp_nodelay(true)
                    .http2_keep_alive_interval(KEEPALIVE)
                    .keep_alive_timeout(KEEPALIVE_ANSWER)
            },
        )
    }

    /// Gives up a connection that broke, unless it was replaced since.
    pub(super) fn drop_one(&self, instance: InstanceId, number: u64) {
        let mut kept = self.lock();
        if kept.by_instance.get(&instance).is_some_and(|entry| entry.number == number) {
            kept.by_instance.remove(&instance);
        }
    }

    /// Gives up the connection of an instance.
    pub(super) fn forget(&self, instance: InstanceId) {
        self.lock().by_instance.remove(&instance);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels")
            .field("options", &self.options)
            .field("kept", &self.lock().by_instance.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::client::tests::world::Authority;

    fn guest(n: u128, ip: &str) -> Guest {
        Guest { instance: InstanceId(Uuid::from_u128(n)), ip: ip.to_owned() }
    }

    #[tokio::test]
    async fn a_connection_is_kept_by_instance_and_address() {
        let channels = Channels::new(&Authority::new().control(), Options::default()).unwrap();
        let first = channels.get(&guest(1, "127.0.0.1")).unwrap();
        assert!(first.is_new);
        let again = channels.get(&guest(1, "127.0.0.1")).unwrap();
        assert_eq!((again.is_new, again.number), (false, first.number));
        let moved = channels.get(&guest(1, "::1")).unwrap();
        assert!(moved.is_new);
        channels.drop_one(InstanceId(Uuid::from_u128(1)), first.number);
        assert!(!channels.get(&guest(1, "::1")).unwrap().is_new, "only the broken one is given up");
        channels.drop_one(InstanceId(Uuid::from_u128(1)), moved.number);
        assert!(channels.get(&guest(1, "::1")).unwrap().is_new);
        channels.forget(InstanceId(Uuid::from_u128(1)));
        assert!(channels.get(&guest(1, "::1")).unwrap().is_new);
        assert!(matches!(channels.get(&guest(2, "localhost")), Err(NoChannel::Address(_))));
    }

    #[tokio::test]
    async fn no_more_than_a_bounded_number_is_kept() {
        let channels = Channels::new(&Authority::new().control(), Options::default()).unwrap();
        // Filling it for real would take thousands of handshake configurations: take one and copy it.
        let channel = channels.get(&guest(0, "127.0.0.1")).unwrap().channel;
        for n in 1..MOST as u128 {
            let entry = Entry { ip: "127.0.0.1".to_owned(), channel: channel.clone(), number: 0, used: 100 + n as u64 };
            channels.lock().by_instance.insert(InstanceId(Uuid::from_u128(n)), entry);
        }
        channels.get(&guest(MOST as u128, "127.0.0.1")).unwrap();
        let kept = channels.lock();
        assert_eq!(kept.by_instance.len(), MOST);
        assert!(!kept.by_instance.contains_key(&InstanceId(Uuid::nil())), "the one not used for longest is gone");
    }
}
