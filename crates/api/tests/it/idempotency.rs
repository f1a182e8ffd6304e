//! Requests that are sent more than once, under a key.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, MEMBER, OTHER, Service, ask};

async fn post(service: &Service, token: &str, path: &str, key: &[u8], body: &Value) -> Answer {
    let request = Request::builder().method(Method::POST).uri(path).header("host", "db.test:8779");
    let request = request.header("x-auth-token", token).header("content-type", "application/json");
    service.send(request.header("idempotency-key", key).body(Body::from(body.to_string())).unwrap()).await
}

async fn create(service: &Service, key: &str, body: &Value) -> Answer {
    post(service, MEMBER, "/v1.0/p1/clusters", key.as_bytes(), body).await
}

async fn clusters(service: &Service) -> usize {
    service.get("/clusters").await.json()["clusters"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_request_has_one_effect_and_one_answer() {
    let service = Service::start().await;
    let first = create(&service, "key 1", &ask("once", 2)).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (202, ""));
    // What it asks for could not be had any more, and it has moved on: the answer is the first one all the same.
    service.sql("DELETE FROM flavors").await;
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    let again = create(&service, "key 1", &ask("once", 2)).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("content-type"), "application/json");
    assert_ne!(again.header("x-openstack-request-id"), first.header("x-openstack-request-id"));
    assert_eq!(clusters(&service).await, 1);
    service.settle().await;
    assert_eq!(service.bus.wakes.lock().unwrap().len(), 1, "nobody is woken twice");

    let other = create(&service, "key 1", &ask("other", 2)).await;
    let message = "The Idempotency-Key was used before, with another body.".to_owned();
    assert_eq!((other.status.as_u16(), other.fault()), (422, ("unprocessableEntity".to_owned(), message)));
}

#[tokio::test]
async fn a_key_belongs_to_its_project_user_and_path() {
    let service = Service::start().await;
    let body = ask("mine", 1);
    let mine = create(&service, "k", &body).await.json();
    let theirs = post(&service, OTHER, "/v1.0/p2/clusters", b"k", &body).await;
    assert_eq!((theirs.status.as_u16(), theirs.header("idempotency-replayed")), (202, ""));
    let url = format!("/v1.0/p1/clusters/{}", mine["cluster"]["id"].as_str().unwrap());
    for (path, replayed) in [(url.clone(), ""), (format!("{url}/action"), ""), (url.clone(), "true")] {
        let reset = post(&service, ADMIN, &path, b"k", &json!({"reset-status": {}})).await;
        assert_eq!((reset.status.as_u16(), reset.text.as_str()), (202, ""));
        assert_eq!((reset.header("idempotency-replayed"), reset.header("content-type")), (replayed, ""), "{path}");
    }
}

#[tokio::test]
async fn at_the_same_time_one_wins_and_all_hear_its_answer() {
    let service = Service::start().await;
    let body = ask("racer", 1);
    let answers = futures_util::future::join_all((0..8).map(|_| create(&service, "race", &body))).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.text), (202, &answers[0].text));
    }
    assert_eq!(clusters(&service).await, 1);
    service.settle().await;
    assert_eq!(service.bus.wakes.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_refused_is_not_kept() {
    let service = Service::with("[quota]\nmax_instances_per_tenant = 2\n", false).await;
    let before = service.row_counts().await;
    assert_eq!(create(&service, "k", &ask("large", 3)).await.status, 413);
    assert_eq!(create(&service, "k", &json!({"cluster": {}})).await.status, 400);
    assert_eq!(service.row_counts().await, before);
    assert_eq!(create(&service, "k", &ask("small", 1)).await.status, 202, "the key is free");
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let service = Service::start().await;
    let body = ask("again", 1);
    for key in ["a", "b"] {
        assert_eq!(create(&service, key, &body).await.status, 202);
    }
    service.sql("UPDATE answers SET created = created - 86000000").await;
    assert_eq!(create(&service, "a", &body).await.header("idempotency-replayed"), "true");
    service.sql("UPDATE answers SET created = created - 400000").await;
    let late = create(&service, "a", &ask("another", 1)).await;
    assert_eq!((late.status.as_u16(), late.header("idempotency-replayed")), (202, ""));
    assert_eq!(service.row_counts().await["answers"], 1, "what is too old is gone");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let service = Service::start().await;
    let before = service.row_counts().await;
    let (long, longest) = ("x".repeat(256), "é".repeat(255));
    for (key, part) in [
        (&b""[..], "must not be empty"),
        (b"  ", "must not be empty"),
        (b"a\tb", "must not contain control characters"),
        (b"\xff\xfe", "must be UTF-8"),
        ("a\u{85}b".as_bytes(), "must not contain control characters"),
        (long.as_bytes(), "must have at most 255 characters"),
    ] {
        let answer = post(&service, MEMBER, "/v1.0/p1/clusters", key, &ask("c", 1)).await;
        let (name, message) = answer.fault();
        assert_eq!((answer.status.as_u16(), name.as_str()), (400, "badRequest"), "{key:?}");
        assert_eq!(message, format!("The header Idempotency-Key {part}."));
    }
    let twice = Request::builder().method(Method::POST).uri("/v1.0/p1/clusters").header("x-auth-token", MEMBER);
    let twice = twice.header("content-type", "application/json").header("idempotency-key", "a");
    let twice = twice.header("idempotency-key", "b").body(Body::from(ask("c", 1).to_string())).unwrap();
    assert_eq!(service.send(twice).await.status, 400);
    assert_eq!(service.row_counts().await, before);
    assert_eq!(create(&service, &longest, &ask("c", 1)).await.status, 202);
}
