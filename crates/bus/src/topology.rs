//! The broker's objects, declared by everybody who connects, so that no order of starting matters.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

/// The topic exchange that wake-ups are published to.
pub const EXCHANGE: &str = "redtrove";
/// The quorum queue the taskmanagers share.
pub const QUEUE: &str = "redtrove.taskmanager";
/// What the queue takes of the exchange.
pub const BINDING: &str = "task.#";
/// The fanout exchange and the queue of messages that nobody could use.
pub const DEAD: &str = "redtrove.dead";
/// How many times a message may come back before the broker moves it to [`DEAD`].
pub const DELIVERY_LIMIT: i64 = 5;
/// How many dead letters are kept; the oldest go first.
pub const DEAD_MAX_LENGTH: i64 = 10_000;
/// How many bytes of dead letters are kept.
pub const DEAD_MAX_BYTES: i64 = 64 * 1024 * 1024;

/// Declares exchanges, queues and bindings. Declaring what is there changes nothing; what is there with other
/// arguments is an error of the broker (406), which closes the channel.
pub(crate) async fn declare(channel: &Channel) -> lapin::Result<()> {
    exchange(channel, DEAD, ExchangeKind::Fanout).await?;
    exchange(channel, EXCHANGE, ExchangeKind::Topic).await?;
    let bounds = [("x-max-length", DEAD_MAX_LENGTH), ("x-max-length-bytes", DEAD_MAX_BYTES)];
    let mut dead = quorum();
    for (name, value) in bounds {
        dead.insert(name.into(), AMQPValue::LongLongInt(value));
    }
    queue(channel, DEAD, DEAD, "", dead).await?;
    let mut work = quorum();
    work.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    work.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(DEAD.into()));
    queue(channel, QUEUE, EXCHANGE, BINDING, work).await
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
}

async fn queue(channel: &Channel, name: &str, from: &str, key: &str, arguments: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments).await?;
    channel.queue_bind(name.into(), from.into(), key.into(), QueueBindOptions::default(), FieldTable::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MAX_BODY, SCHEMA};

    /// The operators' guide, which promises these names and numbers.
    const GUIDE: &str = include_str!("../../../docs/bus.md");

    #[test]
    fn the_operators_guide_shows_what_is_declared() {
        for promise in [
            format!("| `{EXCHANGE}` | exchange, topic, durable |"),
            format!("| `{QUEUE}` | queue, durable, bound to `{EXCHANGE}` with `{BINDING}` |"),
            format!("`x-delivery-limit={DELIVERY_LIMIT}`, `x-dead-letter-exchange={DEAD}`"),
            format!("`x-max-length={DEAD_MAX_LENGTH}`, `x-max-length-bytes={DEAD_MAX_BYTES}`"),
            format!("longer than {MAX_BODY} bytes"),
            format!("\"schema\": \"{SCHEMA}\""),
        ] {
            assert!(GUIDE.contains(&promise), "docs/bus.md does not say {promise}");
        }
        for header in crate::dead_letter::HEADERS {
            assert!(GUIDE.contains(&format!("| `{header}` | taskmanager |")), "docs/bus.md does not explain {header}");
        }
        for kind in redtrove_engine::task::TaskKind::ALL {
            assert!(GUIDE.contains(&format!("`{kind}`")), "docs/bus.md does not know {kind}");
        }
    }
}
