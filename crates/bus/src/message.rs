//! What a message looks like: JSON in, JSON out.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use redtrove_core::{ClusterId, RequestId, TaskId};
use redtrove_engine::ports::WakeUp;
use redtrove_engine::task::TaskKind;
use serde::{Deserialize, Serialize};

/// Names the layout of the body. Added fields keep it, changed ones do not.
pub const SCHEMA: &str = "redtrove.task/1";

/// The longest body that is read, in bytes. A wake-up has about 250.
pub const MAX_BODY: usize = 64 * 1024;

/// The header that carries the W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// AMQP's number for "keep it on disk".
const PERSISTENT: u8 = 2;

#[derive(Serialize)]
struct Body<'w> {
    schema: &'static str,
    task_id: TaskId,
    cluster_id: ClusterId,
    kind: &'static str,
    request_id: &'w str,
}

#[derive(Deserialize)]
struct Header {
    schema: String,
}

#[derive(Deserialize)]
struct Fields {
    task_id: String,
    cluster_id: String,
    kind: String,
    request_id: String,
}

/// The body of `wake`.
pub(crate) fn encode(wake: &WakeUp) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Body {
        schema: SCHEMA,
        task_id: wake.task,
        cluster_id: wake.cluster,
        kind: wake.kind.name(),
        request_id: wake.request.as_str(),
    })
}

/// The properties of a message that says `wake`.
pub(crate) fn properties(wake: &WakeUp) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(context) = wake.traceparent.as_deref().filter(|context| is_traceparent(context)) {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(context.into()));
    }
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(wake.task.to_string().into())
        .with_headers(headers)
}

/// The routing key of a message about `kind`.
pub(crate) fn routing_key(kind: TaskKind) -> ShortString {
    format!("task.{}", kind.name()).into()
}

/// Reads a message, or says in one sentence without line breaks why it cannot be read.
pub(crate) fn decode(body: &[u8], headers: Option<&FieldTable>) -> Result<WakeUp, String> {
    if body.len() > MAX_BODY {
        return Err(format!("a body of {} bytes is longer than {MAX_BODY}", body.len()));
    }
    let header: Header = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if header.schema != SCHEMA {
        return Err(format!("schema '{}' is not '{SCHEMA}'", short(&header.schema)));
    }
    let fields: Fields = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    Ok(WakeUp {
        task: fields.task_id.parse().map_err(|error| format!("task_id: {error}"))?,
        cluster: fields.cluster_id.parse().map_err(|error| format!("cluster_id: {error}"))?,
        kind: fields.kind.parse().map_err(|_| format!("kind '{}' is unknown", short(&fields.kind)))?,
        request: fields.request_id.parse::<RequestId>().map_err(|error| format!("request_id: {error}"))?,
        traceparent: headers.and_then(traceparent),
    })
}

fn unreadable(error: &serde_json::Error) -> String {
    short(&format!("not a wake-up: {error}"))
}

/// The beginning of `text`, on one line.
fn short(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn traceparent(headers: &FieldTable) -> Option<String> {
    let text = match headers.inner().get(TRACEPARENT)? {
        AMQPValue::LongString(text) => str::from_utf8(LongString::as_bytes(text)).ok()?,
        AMQPValue::ShortString(text) => text.as_str(),
        _ => return None,
    };
    is_traceparent(text).then(|| text.to_owned())
}

/// Version 00 of W3C's Trace Context: `00-<32 hex>-<16 hex>-<2 hex>`, in lower case.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let hexadecimal = |part: &&str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    lengths == [2, 32, 16, 2] && parts.first() == Some(&"00") && parts.iter().all(hexadecimal)
}

#[cfg(test)]
mod tests;
