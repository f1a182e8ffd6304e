//! Who made this request, and what he may do.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::{Method, request};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use redtrove_core::{Fault, FaultKind, ProjectId, RequestId};
use redtrove_engine::submit::Asker;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::app::App;
use crate::auth::Identity;
use crate::fault::Refusal;
use crate::policy::{Policy, Rule, Who, only_reads};

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

    /// Whether the caller reaches what belongs to other projects, by its id.
    pub fn is_admin(&self) -> bool {
        Who::Admin.includes(&self.identity.roles)
    }

    /// An error unless the rules let the caller do what `rule` stands for.
    pub fn require(&self, rule: Rule) -> Result<(), Refusal> {
        if self.policy.allows(rule, &self.identity) { Ok(()) } else { Err(denied(rule)) }
    }

    /// The caller as the engine knows one, acting on what is `project`'s.
    pub fn asker(&self, app: &App, project: ProjectId) -> Asker {
        let time_limit = app.config().api.cluster_usage_timeout.duration();
        Asker { project, request: self.request.clone(), traceparent: self.traceparent.clone(), time_limit }
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
        let Some(caller) = request.extensions().get::<Caller>() else { return nobody().into_response() };
        let looks = matches!(*request.method(), Method::GET | Method::HEAD);
        if !looks && only_reads(&caller.identity.roles) {
            return denied(rule).into_response();
        }
        match caller.require(rule) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        }
    };
    (schemas, paths, methods.route_layer(middleware::from_fn(check)))
}

/// Trove's answers: 403, and 401 where the route is for operators.
fn denied(rule: Rule) -> Refusal {
    if rule.is_for_operators() {
        return Fault::new(FaultKind::Unauthorized, "User does not have admin privileges.").into();
    }
    Fault::forbidden(format!("Policy doesn't allow {} to be performed.", rule.name())).into()
}
