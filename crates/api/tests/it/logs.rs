//! What is logged of a request, and what never is.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{MEMBER, Service, ask};

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Everything, down to the smallest level, of all crates but the test's own client.
#[tokio::test]
async fn a_request_is_one_line_with_its_id_and_no_token_is_ever_logged() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let service = Service::with("", true).await;
    let answer = service.post("/clusters", &ask("logged", 1)).await;
    service.call(Method::GET, "/v1.0/p1/clusters", "canary-unknown", None).await;
    service.call(Method::GET, "/v1.0/p2/clusters", MEMBER, None).await;
    service.settle().await;
    drop(guard);
    let text = lines.text();
    assert!(!text.contains("canary"), "a token is in the log");
    let id = answer.header("x-openstack-request-id");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_request = |event: &&Value| event["spans"][0]["request.id"] == id;
    let access = |event: &&Value| event.get("http.status").is_some();
    let found: Vec<_> = events.iter().filter(of_request).filter(access).collect();
    assert_eq!(found.len(), 1, "one line a request");
    assert_eq!((&found[0]["http.method"], &found[0]["http.status"]), (&"POST".into(), &202.into()));
    assert_eq!((&found[0]["http.path"], &found[0]["level"]), (&"/v1.0/p1/clusters".into(), &"INFO".into()));
    let unpublished = events
        .iter()
        .filter(of_request)
        .find(|event| event["message"].as_str().unwrap_or("").contains("waits for a sweeper"));
    assert_eq!(unpublished.expect("the failed publish is logged in the request's span")["level"], "INFO");
    assert!(!events.iter().any(|event| ["WARN", "ERROR"].contains(&event["level"].as_str().unwrap())), "{text}");
}
