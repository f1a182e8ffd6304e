//! HTTP as bytes: for requests that no client would send, and for answers that are no JSON.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use redtrove_testkit::stack::Description;
use serde_json::Value;

/// Sends `request` as it is and reads until the other side closes; none if nobody answers.
pub(crate) fn exchange(address: &str, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    // A server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

/// The body behind a URL; none if it does not answer with 200.
pub(crate) fn get(url: &str) -> Option<String> {
    let (host, path) = url.strip_prefix("http://")?.split_once('/')?;
    let answer =
        exchange(host, format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Sends a request of the member's project, below its path; the whole answer.
pub(crate) fn send(description: &Description, method: &str, path: &str, body: Option<&Value>) -> String {
    let host = description.api.strip_prefix("http://").unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} /v1.0/{}{path} HTTP/1.1\r\nhost: {host}\r\nx-auth-token: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        description.project_id,
        description.token,
        body.len(),
    );
    exchange(host, request.as_bytes()).expect("an answer")
}

/// Whether an answer says that the API cannot do it now, and when to come again.
pub(crate) fn is_unavailable(answer: &str) -> bool {
    let says_when = answer.to_lowercase().contains("\r\nretry-after: 5\r\n");
    status(answer) == 503 && says_when && answer.contains("serviceUnavailable")
}
