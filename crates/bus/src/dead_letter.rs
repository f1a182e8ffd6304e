//! Messages that nobody can use, put aside with the reason.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use redtrove_core::Timestamp;

use crate::publisher::{self, publish};
use crate::topology::DEAD;

/// Why the message is dead.
const REASON: &str = "x-redtrove-reason";
/// The routing key it had.
const ROUTING_KEY: &str = "x-redtrove-routing-key";
/// When it was put aside, UTC.
const TIME: &str = "x-redtrove-time";

/// All that is added to a dead letter, for the check of the operators' guide.
#[cfg(test)]
pub(crate) const HEADERS: [&str; 3] = [REASON, ROUTING_KEY, TIME];

/// For the broker's confirm.
const CONFIRMS_WITHIN: Duration = Duration::from_secs(5);
const PERSISTENT: u8 = 2;

/// Why a dead letter is not known to be safe; the original is not acknowledged then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeadLetterError {
    #[error("the broker did not confirm a dead letter within {} s", CONFIRMS_WITHIN.as_secs())]
    Silent,
    #[error("the broker has no place for a dead letter ({0:?})")]
    Homeless(publisher::Delivery),
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
}

/// Copies `dead` to the dead letters and returns once the broker has it on disk.
pub(crate) async fn put_aside(
    channel: &Channel,
    dead: &Delivery,
    reason: &str,
    now: Timestamp,
) -> Result<(), DeadLetterError> {
    let properties = properties(dead, reason, now);
    let sent = publish(channel, DEAD, dead.routing_key.clone(), &dead.data, properties);
    match tokio::time::timeout(CONFIRMS_WITHIN, sent).await.map_err(|_| DeadLetterError::Silent)?? {
        publisher::Delivery::Routed => Ok(()),
        other => Err(DeadLetterError::Homeless(other)),
    }
}

/// The message's own properties and ours, without those that the broker acts upon: another user's name, an expiry
/// and further recipients would get the copy refused or lost.
fn properties(dead: &Delivery, reason: &str, now: Timestamp) -> BasicProperties {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut headers = FieldTable::default();
    for (name, value) in dead.properties.headers().iter().flatten() {
        if !matches!(name.as_str(), "CC" | "BCC") {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert(REASON.into(), text(reason));
    headers.insert(ROUTING_KEY.into(), text(dead.routing_key.as_str()));
    headers.insert(TIME.into(), text(&now.to_string()));
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    if let Some(kind) = dead.properties.content_type() {
        properties = properties.with_content_type(kind.clone());
    }
    if let Some(id) = dead.properties.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    properties
}
