//! What goes wrong outside of handlers is a fault like any other.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use redtrove_api::auth::{AuthError, Authenticator, Identity};

use crate::support::{MEMBER, Service};

#[tokio::test]
async fn unknown_paths_and_methods_are_faults() {
    let service = Service::start().await;
    for path in [
        "/nowhere",
        "/v1.0/p1",
        "/v1.0/p1/nowhere",
        "/v1.0/p1/clusters/",
        "/v2.0/p1/clusters",
        "//",
        "/v1.0/p1/flavors/%FF",
    ] {
        let answer = service.call(Method::GET, path, MEMBER, None).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (404, "itemNotFound"), "{path}");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/v1.0/p1/clusters", &["GET", "HEAD", "POST"][..]),
        (Method::PATCH, "/v1.0/p1/clusters/x", &["GET", "HEAD", "POST", "DELETE"]),
        (Method::GET, "/v1.0/p1/clusters/x/action", &["POST"]),
        (Method::POST, "/", &["GET", "HEAD"]),
        (Method::from_bytes(b"BREW").unwrap(), "/v1.0/p1/flavors", &["GET", "HEAD"]),
    ] {
        let answer = service.call(method.clone(), path, MEMBER, None).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (405, "badMethod"), "{method} {path}");
        let mut got: Vec<&str> = answer.header("allow").split(',').collect();
        let mut wanted = allowed.to_vec();
        got.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(got, wanted, "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_no_id_is_not_found() {
    let service = Service::start().await;
    let uuid = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
    for (path, message) in [
        ("/clusters/7".to_owned(), "Cluster '7' cannot be found.".to_owned()),
        (format!("/clusters/{uuid}"), format!("Cluster '{uuid}' cannot be found.")),
        (
            format!("/clusters/{}", uuid.replace('-', "")),
            format!("Cluster '{}' cannot be found.", uuid.replace('-', "")),
        ),
        ("/clusters/%0a%00x".to_owned(), "Cluster 'x' cannot be found.".to_owned()),
        (format!("/clusters/{uuid}/instances/x"), format!("Cluster '{uuid}' cannot be found.")),
        ("/instances/x".to_owned(), "Resource x cannot be found.".to_owned()),
        (format!("/instances/{uuid}"), format!("Resource {uuid} cannot be found.")),
        ("/flavors/9".to_owned(), "Resource 9 cannot be found.".to_owned()),
        ("/datastores/x".to_owned(), "Datastore 'x' cannot be found.".to_owned()),
        ("/datastores/redis/versions/9".to_owned(), "Datastore version '9' cannot be found.".to_owned()),
    ] {
        let answer = service.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1), (404, message), "{path}");
    }
}

async fn post(service: &Service, content_type: Option<&str>, body: impl Into<Body>) -> (u16, String) {
    let request = Request::builder().method("POST").uri("/v1.0/p1/clusters").header("x-auth-token", MEMBER);
    let request = match content_type {
        Some(kind) => request.header("content-type", kind),
        None => request,
    };
    let answer = service.send(request.body(body.into()).unwrap()).await;
    let (name, _) = answer.fault();
    (answer.status.as_u16(), name)
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_fault() {
    let service = Service::start().await;
    let before = service.row_counts().await;
    let json = Some("application/json");
    for (kind, body, code, name) in [
        (json, String::new(), 400, "badRequest"),
        (None, "{}".to_owned(), 400, "badRequest"),
        (Some("text/plain"), "{}".to_owned(), 415, "badMediaType"),
        (Some("application/xml"), "<x/>".to_owned(), 415, "badMediaType"),
        (json, "{".to_owned(), 400, "badRequest"),
        (json, "[".repeat(200_000), 400, "badRequest"),
        (json, " ".repeat(262_145), 413, "overLimit"),
        (json, "x".repeat(10 * 1024 * 1024), 413, "overLimit"),
        (Some("application/json; charset=utf-8"), "{}".to_owned(), 400, "badRequest"),
    ] {
        let shown = format!("{kind:?} {:.20}", body);
        assert_eq!(post(&service, kind, body).await, (code, name.to_owned()), "{shown}");
    }
    assert_eq!(post(&service, json, b"\xff\xfe".to_vec()).await.0, 400);
    assert_eq!(service.row_counts().await, before);
}

#[tokio::test]
async fn a_broken_database_is_a_500_that_names_the_request_and_nothing_else() {
    let service = Service::start().await;
    service.sql("DROP TABLE flavors").await;
    let answer = service.get("/flavors").await;
    let (name, message) = answer.fault();
    assert_eq!((answer.status.as_u16(), name.as_str()), (500, "instanceFault"));
    let id = answer.header("x-openstack-request-id");
    assert!(message.contains(id) && !id.is_empty(), "{message}");
    assert!(!message.contains("table") && !message.contains("flavors"), "{message}");
}

#[tokio::test]
async fn each_request_has_an_id_of_its_own_whatever_the_client_says() {
    let service = Service::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let given = "req-416b0b16-ba55-4302-bbd3-ff566032e1c1";
        let request = Request::builder().uri("/").header("x-openstack-request-id", given).body(Body::empty()).unwrap();
        ids.push(service.send(request).await.header("x-openstack-request-id").to_owned());
        assert_ne!(ids.last().unwrap(), given);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn answers_are_counted_by_route_and_never_by_what_a_client_made_up() {
    let service = Service::start().await;
    service.get("/clusters/canary-in-path").await;
    service.get("/canary-in-path").await;
    service.call(Method::from_bytes(b"CANARY").unwrap(), "/v1.0/p1/flavors", MEMBER, None).await;
    let text = service.numbers.encode().unwrap();
    let shown = "{method=\"GET\",route=\"/v1.0/{project_id}/clusters/{cluster_id}\",status=\"404\"} 1";
    assert!(text.contains(&format!("redtrove_api_requests_total{shown}")), "{text}");
    assert!(text.contains("route=\"none\""), "{text}");
    assert!(!text.to_lowercase().contains("canary"), "{text}");
}

#[tokio::test]
async fn a_panic_is_a_500_with_the_requests_id() {
    use axum::routing::get;
    use redtrove_api::layers;

    // A route that panics, under the layers of the service.
    async fn explode() -> &'static str {
        panic!("secret of the inside")
    }
    let service = Service::start().await;
    let router = layers::around(axum::Router::new().route("/explode", get(explode)), service.app().clone());
    let request = Request::builder().uri("/explode").body(Body::empty()).unwrap();
    let answer = crate::support::ask_router(router, request).await;
    let (name, message) = answer.fault();
    assert_eq!((answer.status.as_u16(), name.as_str()), (500, "instanceFault"));
    assert!(message.contains(answer.header("x-openstack-request-id")) && !message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let service = Service::start().await;
    let slow = axum::Router::new().route("/slow", axum::routing::get(std::future::pending::<&'static str>));
    let router = redtrove_api::layers::around(slow, service.app().clone());
    // From here on the runtime's clock jumps to whatever is waited for.
    tokio::time::pause();
    let request = Request::builder().uri("/slow").body(Body::empty()).unwrap();
    let answer = crate::support::ask_router(router, request).await;
    let (name, message) = answer.fault();
    assert_eq!((answer.status.as_u16(), name.as_str(), answer.header("retry-after")), (503, "serviceUnavailable", "5"));
    assert_eq!(message, "The request was given up after 60 seconds.");
}

struct Away;

#[async_trait::async_trait]
impl Authenticator for Away {
    async fn identify(&self, _: &str) -> Result<Identity, AuthError> {
        Err(AuthError::Unavailable("connection refused by inner.test".to_owned()))
    }
}

#[tokio::test]
async fn where_tokens_cannot_be_checked_nobody_comes_in_and_nobody_is_called_a_stranger() {
    let service = Service::with_authenticator("", false, Some(Arc::new(Away))).await;
    let answer = service.get("/clusters").await;
    assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (503, "serviceUnavailable"));
    assert!(!answer.text.contains("inner.test"), "{}", answer.text);
}
