//! Time and chance, from outside.

use std::time::Duration;

use uuid::Uuid;

use crate::time::Timestamp;

/// Time, ids and jitter come in through here, so that a test owns them. Leases do not use this clock: they are
/// written and compared by the database's.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// A new random id (version 4), for what tenants see.
    fn random_id(&self) -> Uuid;

    /// A new id that sorts by time (version 7), for tasks.
    fn ordered_id(&self) -> Uuid;

    /// A random part of `most`.
    fn jitter(&self, most: Duration) -> Duration;
}
