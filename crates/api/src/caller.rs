//! Who made this request, and what he may do.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use redtrove_core::{Fault, ProjectId, RequestId};
use redtrove_engine::submit::Asker;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::app::App;
use crate::auth::Identity;
use crate::fault::Refusal;
use crate::policy::{Policy, Rule};

/// The caller of a request below `/v1.0`: the token is good, and is one for the project in the URL.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// What the rules are.
    pub policy: Arc<Policy>,
    /// In which request.
    pub request: RequestId,
    /// The W3C trace context of the request.
    pub traceparent: Option<String>,
}

impl Caller {
    /// The project, of the token and of the URL.
    pub fn project(&self) -> &ProjectId {
        &self.identity.project
    }

    /// The caller as the engine knows one.
    pub fn asker(&self) -> Asker {
        Asker { project: self.project().clone(), request: self.request.clone(), traceparent: self.traceparent.clone() }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut request::Parts, _: &App) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// For a route that is not below `/v1.0` and yet wants a caller: a mistake of ours, closed rather than open.
fn nobody() -> Refusal {
    Fault::internal("A guarded route is out of reach of authentication.").into()
}

/// Routes that only those may use whom `rule` allows.
pub fn guard(rule: Rule, (schemas, paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let check = move |request: Request, next: Next| async move {
        match request.extensions().get::<Caller>() {
            Some(caller) if caller.policy.allows(rule, &caller.identity) => next.run(request).await,
            Some(_) => denied(rule),
            None => nobody().into_response(),
        }
    };
    (schemas, paths, methods.route_layer(middleware::from_fn(check)))
}

fn denied(rule: Rule) -> Response {
    let message = format!("Policy doesn't allow {} to be performed.", rule.name());
    Refusal::from(Fault::forbidden(message)).into_response()
}
