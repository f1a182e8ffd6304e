//! What happens around every request, outermost first: id, span, log line and metrics; panics; time limit; token.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use redtrove_core::{Fault, FaultKind, RequestId};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::app::App;
use crate::auth::AuthError;
use crate::caller::Caller;
use crate::fault::{Refusal, own_mistake};
use crate::links;

/// Where OpenStack's clients and operators look for the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
/// Where OpenStack's clients put their token.
pub const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// A request that takes longer is given up; slow work happens in tasks, never in a request.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Puts `routes` into everything that happens around a request.
pub fn around(routes: Router<App>, app: App) -> Router {
    routes
        .layer(middleware::from_fn_with_state(app.clone(), authenticate))
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// Gives the request its id, follows it in span, log and metrics, and puts the id on the answer.
async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::new(app.clock().random_id());
    request.extensions_mut().insert(id.clone());
    let method = known_method(request.method());
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request.id = %id);
    let began = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let mut response = hide_inside(response, &id);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (took, status) = (began.elapsed(), response.status().as_u16());
    app.metrics().count(method, &route, status, took);
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let _in_span = span.enter();
    tracing::info!(
        http.method = method,
        http.path = path,
        http.status = status,
        http.ms = ms,
        "{method} {path} was answered {status} in {ms} ms"
    );
    if let Some(fault) = response.extensions().get::<Fault>() {
        tracing::debug!("the answer was a fault: {fault}");
    }
    response
}

/// A method that a client made up is no label for a metric.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Whatever went wrong inside, the outside hears the same sentence with the request's id.
fn hide_inside(response: Response, id: &RequestId) -> Response {
    match response.extensions().get::<Fault>() {
        Some(fault) if fault.kind == FaultKind::Internal => own_mistake(id).into_response(),
        _ => response,
    }
}

/// Turns a panic in a handler into a fault; the panic itself was logged where it happened.
fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    Refusal::from(Fault::internal("A handler panicked.")).into_response()
}

/// Gives a request up that takes too long.
async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("The request was given up after {} seconds.", TIME_LIMIT.as_secs());
            Refusal::from(Fault::unavailable(message)).into_response()
        }
    }
}

/// Lets nobody below `/v1.0` without a token for the project in the URL.
async fn authenticate(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let challenge = challenge(&app, &parts);
    let mut response = match whose(&app, &parts).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => refusal.into_response(),
    };
    if response.status() == StatusCode::UNAUTHORIZED
        && let Ok(challenge) = HeaderValue::try_from(challenge)
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Where tokens are to be had: what every 401 says.
fn challenge(app: &App, request: &request::Parts) -> String {
    let own = || links::base(app, &request.headers, &request.extensions);
    let uri = app.config().auth.sends_to().map_or_else(own, ToString::to_string);
    format!("Keystone uri=\"{uri}\"")
}

async fn whose(app: &App, request: &request::Parts) -> Result<Option<Caller>, Refusal> {
    let Some(project) = project_of(request.uri.path()) else { return Ok(None) };
    let refuse = |message| Refusal::from(Fault::new(FaultKind::Unauthorized, message));
    let token = request.headers.get(TOKEN).ok_or_else(|| refuse("A token is required (X-Auth-Token)."))?;
    let token = token.to_str().map_err(|_| refuse("The token is not valid."))?;
    let identity = app.authenticator().identify(token).await.map_err(|error| match error {
        AuthError::Invalid => refuse("The token is not valid."),
        AuthError::NoProject => Fault::forbidden("The token is not for a project.").into(),
        AuthError::Unavailable(reason) => {
            tracing::warn!("a request is refused, tokens cannot be checked: {reason}");
            Fault::unavailable("Tokens cannot be checked at the moment.").into()
        }
    })?;
    if identity.project.as_str() != project {
        let message = format!("User with tenant id {} cannot access this resource.", identity.project);
        return Err(Fault::forbidden(message).into());
    }
    let id = request.extensions.get::<RequestId>().cloned();
    let request_id = id.unwrap_or_else(|| RequestId::new(app.clock().random_id()));
    let traceparent = traceparent(&request.headers);
    Ok(Some(Caller { identity, policy: app.policy().clone(), request: request_id, traceparent }))
}

/// The project in a path below `/v1.0`, perhaps empty; nothing for other paths.
fn project_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1.0")?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/').map(|rest| rest.split('/').next().unwrap_or_default())
}

/// The W3C trace context of the request, if it has one that is well-formed (version 00).
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let hexadecimal = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let fits = lengths == [2, 32, 16, 2] && parts.iter().all(|part| hexadecimal(part)) && parts.first() == Some(&"00");
    fits.then(|| text.to_owned())
}

/// 404 for a path that leads nowhere.
pub async fn unknown_path() -> Refusal {
    Fault::not_found("The resource could not be found.").into()
}

/// 405 for a method that the path does not know; the router adds which ones it knows.
pub async fn wrong_method(method: Method) -> Refusal {
    let message = format!("The method {} is not allowed for this resource.", known_method(&method));
    Fault::new(FaultKind::MethodNotAllowed, message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_the_segment_after_the_version() {
        for (path, project) in [
            ("/", None),
            ("/openapi.json", None),
            ("/v1.01/p/clusters", None),
            ("/v1.0", Some("")),
            ("/v1.0/", Some("")),
            ("/v1.0//clusters", Some("")),
            ("/v1.0/p", Some("p")),
            ("/v1.0/p/clusters", Some("p")),
            ("/v1.0/p%2F/clusters", Some("p%2F")),
        ] {
            assert_eq!(project_of(path), project, "{path}");
        }
    }

    #[test]
    fn only_a_well_formed_trace_context_goes_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (text, taken) in [
            (good.to_owned(), true),
            (good.replace("00-4", "01-4"), false),
            (good.to_uppercase(), false),
            (format!("{good}-x"), false),
            ("x".repeat(100_000), false),
        ] {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(traceparent(&headers).is_some(), taken, "{text:.60}");
        }
    }
}
