//! The engine's bus on RabbitMQ: wake-ups out with publisher confirms, wake-ups in through one reconnecting consumer.
//!
//! A message only says that there is a task; the database says which and in what state. So everything here is allowed
//! to fail, is bounded in time, and says so. `docs/bus.md` is the description for those who run the broker.

mod consumer;
mod dead_letter;
mod link;
mod message;
mod publisher;
mod settings;
pub mod topology;

pub use consumer::{Consumer, Handled, Handler};
pub use message::{MAX_BODY, SCHEMA};
pub use publisher::Publisher;
pub use settings::{Settings, UrlError};
