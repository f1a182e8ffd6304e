//! Faults on the wire: Trove's body for every error, whoever noticed it.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use redtrove_core::{ClusterId, Fault, FaultKind, RequestId};
use redtrove_engine::ports::{StoreError, SubmitError};
use redtrove_engine::submit::fault_of;
use serde_json::{Value, json};

/// A request that is not answered as asked.
#[derive(Debug)]
pub struct Refusal {
    fault: Fault,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// 404 for the cluster that `id` was to name, in Trove's words.
    pub fn no_cluster(id: impl std::fmt::Display) -> Self {
        Fault::not_found(format!("Cluster '{id}' cannot be found.")).into()
    }

    /// 404 for what is neither there nor anywhere else that the caller may see, in Trove's words.
    pub fn no_resource(id: impl std::fmt::Display) -> Self {
        Fault::not_found(format!("Resource {id} cannot be found.")).into()
    }

    /// The HTTP status.
    pub fn code(&self) -> u16 {
        self.fault.kind.code()
    }

    /// The body, as Trove writes it.
    pub fn body(&self) -> Value {
        let (name, code) = (self.fault.kind.name(), self.fault.kind.code());
        json!({ name: { "code": code, "message": self.fault.message } })
    }

    /// The refusal of a submission that the database did not take.
    pub fn of_submission(error: SubmitError, cluster: Option<ClusterId>) -> Self {
        match error {
            SubmitError::Store(error) => error.into(),
            error => fault_of(&error, cluster).into(),
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let retry = (HeaderName::from_static("retry-after"), HeaderValue::from_static("5"));
        let header = (fault.kind == FaultKind::Unavailable).then_some(retry);
        Self { fault, header }
    }
}

/// The tenant learns no more than whether trying again may help; the log has the rest.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let away = matches!(error, StoreError::Unavailable(_));
        let reason = format!("{:#}", anyhow::Error::from(error));
        if away {
            tracing::warn!("a request is refused: {reason}");
            Fault::unavailable("The database does not answer.").into()
        } else {
            tracing::error!("a request fails: {reason}");
            Fault::internal("The request could not be stored or looked up.").into()
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(self.fault);
        response
    }
}

/// The answer to a mistake of ours: which request it was, so that an operator finds it in the log, and no more.
pub fn own_mistake(request: &RequestId) -> Refusal {
    Fault::internal(format!("The server made a mistake. Its operator finds it in the log under {request}.")).into()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn answer(refusal: Refusal) -> (u16, Option<String>, serde_json::Value) {
        let response = refusal.into_response();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, retry, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_fault_has_troves_body() {
        let (status, _, body) = answer(Refusal::no_cluster("x")).await;
        assert_eq!(status, 404);
        assert_eq!(body, json!({"itemNotFound": {"code": 404, "message": "Cluster 'x' cannot be found."}}));
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_worth_another_try_and_a_broken_one_is_not() {
        let source = || "secret inside".to_owned().into();
        let (status, retry, body) = answer(StoreError::Unavailable(source()).into()).await;
        assert_eq!((status, retry.as_deref()), (503, Some("5")));
        assert!(!body.to_string().contains("secret"));
        let (status, retry, body) = answer(StoreError::Broken(source()).into()).await;
        assert_eq!((status, retry), (500, None));
        assert!(!body.to_string().contains("secret"));
    }
}
