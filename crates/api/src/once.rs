//! Requests that may come again: with an `Idempotency-Key`, a POST has one effect and one answer, however often it is sent.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use redtrove_core::{ClusterId, Fault, FaultKind, TaskId};
use redtrove_engine::ports::{KeptAnswer, RequestKey, SubmitError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::body;
use crate::caller::Caller;
use crate::fault::Refusal;

/// Where the client puts its key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What the answer to a request says that came again.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key, characters.
const LONGEST_KEY: usize = 255;

/// A body, and the key under which its request may come again.
#[derive(Debug)]
pub struct Once<T> {
    /// The body.
    pub body: T,
    /// The rest.
    pub key: Key,
}

/// The key of a request, if it has one.
#[derive(Debug)]
pub struct Key(Option<RequestKey>);

/// An answer whose body is known as text, so that it can be kept.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    body: String,
    replayed: bool,
}

impl<T: DeserializeOwned> FromRequest<App> for Once<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let value = body::json(app, &parts.headers, body).await?;
        let given = given(&parts.headers)?;
        let caller = parts.extensions.get::<Caller>();
        let key = given.zip(caller).map(|(key, caller)| {
            let path = parts.uri.path();
            let whose = [caller.project().as_str(), &caller.identity.user, parts.method.as_str(), path, &key];
            RequestKey { id: digest(whose), body: digest([value.to_string().as_str()]) }
        });
        Ok(Self { body: body::interpret(value)?, key: Key(key) })
    }
}

/// The key that the client gave.
fn given(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = |problem: &str| Fault::bad_request(format!("The header Idempotency-Key {problem}."));
    if values.next().is_some() {
        return Err(wrong("must be there only once"));
    }
    let key = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong("must be UTF-8"))?;
    if key.trim().is_empty() {
        return Err(wrong("must not be empty"));
    }
    if key.chars().count() > LONGEST_KEY {
        return Err(wrong(&format!("must have at most {LONGEST_KEY} characters")));
    }
    if key.chars().any(char::is_control) {
        return Err(wrong("must not contain control characters"));
    }
    Ok(Some(key.to_owned()))
}

/// SHA-256 of texts, each with its length, so that no two lists of texts look the same.
fn digest<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Key {
    /// What the request was answered when it came before, if it did: to be looked for before anything else, as what the
    /// request asks for may be impossible by now, because it was done.
    pub async fn first(&self, app: &App) -> Result<Option<KeptAnswer>, Refusal> {
        let Some(key) = &self.0 else { return Ok(None) };
        match app.store().answer(&key.id).await? {
            Some(first) => self.same(first).map(Some),
            None => Ok(None),
        }
    }

    /// The answer, to be kept with what it says was done.
    pub fn keep(&self, answer: &Answer, task: Option<TaskId>) -> Option<KeptAnswer> {
        let (status, body) = (Some(answer.status.as_u16()), answer.body.clone());
        self.0.clone().map(|key| KeptAnswer { key, status, body, task })
    }

    /// The key itself, for an answer that is not known yet.
    pub fn open(&self) -> Option<RequestKey> {
        self.0.clone()
    }

    /// Keeps what an answer turned out to be that was not known when it was asked for.
    /// If that fails, whoever asks again finds out for himself.
    pub async fn settle_late(&self, app: &App, outcome: &Result<Answer, Refusal>) {
        let Some(key) = &self.0 else { return };
        let (status, body) = match outcome {
            Ok(answer) => (answer.status.as_u16(), answer.body.clone()),
            Err(refusal) => (refusal.code(), refusal.body().to_string()),
        };
        if let Err(error) = app.store().settle_answer(&key.id, status, &body).await {
            tracing::info!("an answer stays open that was given: {error}");
        }
    }

    /// What to do with a submission that was not taken: if it was because the same request came a moment before, that
    /// one's answer.
    pub fn settle(&self, error: SubmitError, cluster: Option<ClusterId>) -> Result<KeptAnswer, Refusal> {
        match error {
            SubmitError::Answered(first) => self.same(*first),
            error => Err(Refusal::of_submission(error, cluster)),
        }
    }

    fn same(&self, first: KeptAnswer) -> Result<KeptAnswer, Refusal> {
        if self.0.as_ref().is_some_and(|key| key.body == first.key.body) {
            return Ok(first);
        }
        let message = "The Idempotency-Key was used before, with another body.";
        Err(Fault::new(FaultKind::Unprocessable, message).into())
    }
}

impl Answer {
    /// 202 with a body.
    pub fn accepted(body: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_string(body).map_err(|error| {
            tracing::error!("an answer cannot be written: {error}");
            Fault::internal("The answer could not be written.")
        })?;
        Ok(Self { status: StatusCode::ACCEPTED, body, replayed: false })
    }

    /// The same answer, given to a request that came again.
    pub fn again(self) -> Self {
        Self { replayed: true, ..self }
    }

    /// 202 without a body.
    pub fn accepted_empty() -> Self {
        Self { status: StatusCode::ACCEPTED, body: String::new(), replayed: false }
    }
}

impl From<KeptAnswer> for Answer {
    fn from(kept: KeptAnswer) -> Self {
        let status = kept.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::ACCEPTED);
        Self { status, body: kept.body, replayed: true }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = (!self.body.is_empty()).then(|| HeaderValue::from_static("application/json"));
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        if let Some(json) = json {
            response.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_order_of_keys_and_white_space_make_no_other_body() {
        let of = |text: &str| digest([serde_json::from_str::<Value>(text).unwrap().to_string().as_str()]);
        assert_eq!(of(r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#), of(r#"{"b":{"d":null,"c":[1,2]},"a":1}"#));
        assert_ne!(of(&json!({"a": [1, 2]}).to_string()), of(&json!({"a": [2, 1]}).to_string()));
        assert_ne!(of(&json!({"a": 1}).to_string()), of(&json!({"a": "1"}).to_string()));
    }

    #[test]
    fn no_two_lists_of_texts_look_the_same() {
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
        assert_ne!(digest(["", "x"]), digest(["x", ""]));
        assert_eq!(digest(["x"]).len(), 64);
    }
}
