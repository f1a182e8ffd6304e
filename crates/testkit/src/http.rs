//! A small blocking JSON client for our REST API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// No answer of ours takes longer than this; a shrink waits for a guest's word.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Talks to one project of one API with one token.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: String,
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; null where the body is empty.
    pub body: Value,
    /// The `x-openstack-request-id` header.
    pub request_id: Option<String>,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Errors
    /// Any other status, with the fault's message.
    pub fn expect_status(self, status: u16) -> Result<Value> {
        if self.status != status {
            bail!("expected {status}, got {}: {}", self.status, self.body);
        }
        Ok(self.body)
    }
}

impl Client {
    /// A client for paths below `base`, for example `http://127.20.0.1:8779/v1.0/demo`.
    pub fn new(base: impl Into<String>, token: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .timeout_connect(Some(Duration::from_secs(5)))
            .proxy(None)
            .build();
        Self { agent: config.into(), base: base.into(), token: token.into() }
    }

    /// GET.
    ///
    /// # Errors
    /// No answer, or one that is not JSON. An error status is an answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let request = self.agent.get(self.url(path)).header("X-Auth-Token", &self.token);
        answer(request.call(), "GET", path)
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self.agent.post(self.url(path)).header("X-Auth-Token", &self.token);
        answer(request.send_json(body), "POST", path)
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn delete(&self, path: &str) -> Result<Answer> {
        let request = self.agent.delete(self.url(path)).header("X-Auth-Token", &self.token);
        answer(request.call(), "DELETE", path)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>, method: &str, path: &str) -> Result<Answer> {
    let mut response = result.with_context(|| format!("{method} {path} got no answer"))?;
    let status = response.status().as_u16();
    let header = response.headers().get("x-openstack-request-id");
    let request_id = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = response.body_mut().read_to_string().with_context(|| format!("{method} {path} broke off"))?;
    let body = if text.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text)
            .with_context(|| format!("{method} {path} answered {status} without JSON: {text}"))?
    };
    Ok(Answer { status, body, request_id })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use serde_json::{Value, json};

    use super::Client;

    /// Answers one request with `response` and hands back what was asked.
    fn server(response: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).expect("a line") > 0 {}
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            stream.write_all(response.as_bytes()).expect("sent");
            head + &String::from_utf8(body).expect("text")
        });
        (base, served)
    }

    #[test]
    fn a_fault_is_an_answer() {
        let (base, served) = server(
            "HTTP/1.1 404 Not Found\r\nx-openstack-request-id: req-1\r\ncontent-length: 18\r\n\r\n{\"itemNotFound\":1}",
        );
        let answer = Client::new(base, "secret").post("/clusters", &json!({"a": 1})).expect("an answer");
        assert_eq!((answer.status, answer.request_id.as_deref()), (404, Some("req-1")));
        assert_eq!(answer.body, json!({"itemNotFound": 1}));
        let asked = served.join().expect("served").to_lowercase();
        let (head, body) = asked.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("post /clusters http/1.1"), "{asked}");
        assert_eq!(serde_json::from_str::<Value>(body).expect("JSON"), json!({"a": 1}));
        assert!(asked.contains("x-auth-token: secret") && asked.contains("content-type: application/json"), "{asked}");
    }

    #[test]
    fn an_empty_body_is_null() {
        let (base, served) = server("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        let answer = Client::new(base, "secret").delete("/clusters/1").expect("an answer");
        assert_eq!(answer.expect_status(202).expect("accepted"), Value::Null);
        served.join().expect("served");
    }

    #[test]
    fn nobody_there_is_an_error_that_names_the_request() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        drop(listener);
        let error = Client::new(base, "secret").get("/clusters").expect_err("nobody answers");
        assert!(format!("{error:#}").starts_with("GET /clusters got no answer"), "{error:#}");
    }
}
