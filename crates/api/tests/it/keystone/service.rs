//! The whole service on Keystone: what callers are told, and what is logged.

use axum::http::Method;
use serde_json::{Value, json};

use super::fake::{Fake, Mood, PASSWORD, document};
use crate::logs::Lines;
use crate::support::{Answer, Service};

const CLUSTERS: &str = "/v1.0/p1/clusters";

/// The service with this fake behind it.
async fn service(fake: &Fake, settings: &str) -> Service {
    let section = toml_of(&fake.settings(&Value::Null));
    let settings = format!("{settings}\n[auth.keystone]\n{section}");
    Service::with_authenticator(&settings, false, Some(fake.keystone(&Value::Null))).await
}

fn toml_of(settings: &Value) -> String {
    settings.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

async fn get(service: &Service, path: &str, token: &str) -> Answer {
    service.call(Method::GET, path, token, None).await
}

#[tokio::test]
async fn callers_are_told_where_tokens_come_from_and_only_with_401() {
    let mut fake = Fake::start().await;
    fake.add("canary-good");
    fake.state().tokens.insert("canary-reader".to_owned(), document("p1", &["reader"], 3600));
    let mut unscoped = document("p1", &["member"], 3600);
    unscoped.as_object_mut().unwrap().remove("project");
    fake.state().tokens.insert("canary-unscoped".to_owned(), unscoped);
    let service = service(&fake, "").await;
    let challenge = format!("Keystone uri=\"{}\"", fake.url);

    assert_eq!(get(&service, CLUSTERS, "canary-good").await.status, 200);
    assert_eq!(get(&service, CLUSTERS, "canary-reader").await.status, 200);
    let body = crate::support::ask("c", 1);
    assert_eq!(service.call(Method::POST, CLUSTERS, "canary-reader", Some(&body)).await.status, 403);
    for (path, token, status, name) in [
        (CLUSTERS, "canary-unknown", 401, "unauthorized"),
        (CLUSTERS, "", 401, "unauthorized"),
        (CLUSTERS, "canary-unscoped", 403, "forbidden"),
        ("/v1.0/p2/clusters", "canary-good", 403, "forbidden"),
    ] {
        let answer = get(&service, path, token).await;
        assert_eq!((answer.status.as_u16(), &*answer.fault().0), (status, name), "{token}");
        assert_eq!(answer.header("www-authenticate"), if status == 401 { &challenge } else { "" }, "{token}");
        assert_eq!(answer.header("retry-after"), "");
    }
    fake.stop().await;
    let answer = get(&service, CLUSTERS, "canary-new").await;
    assert_eq!((answer.status.as_u16(), &*answer.fault().0), (503, "serviceUnavailable"));
    assert_eq!((answer.header("retry-after"), answer.header("www-authenticate")), ("5", ""));
    assert!(!answer.text.contains("127.0.0.1"), "what is behind is nobody's business: {}", answer.text);
    assert_eq!(get(&service, CLUSTERS, "canary-good").await.status, 200);
}

#[tokio::test]
async fn neither_tokens_nor_the_password_are_logged() {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let fake = Fake::start().await;
    fake.add("canary-good");
    let service = service(&fake, "").await;
    let moods = [Mood::Good, Mood::Status(500), Mood::Says("canary-body".to_owned()), Mood::Status(401), Mood::Silent];
    for (n, mood) in moods.into_iter().enumerate() {
        fake.state().check_mood = mood;
        for token in ["canary-good", "canary-\u{e4}", &format!("canary-unknown-{n}")] {
            get(&service, CLUSTERS, token).await;
        }
    }
    drop(guard);
    let text = lines.text();
    assert!(text.contains("tokens cannot be checked") && text.contains("\"TRACE\""), "{text}");
    assert!(!text.contains("canary"), "{:?}", text.lines().find(|line| line.contains("canary")));
    assert!(PASSWORD.contains("canary") && !json!(fake.settings(&Value::Null)).to_string().contains(PASSWORD));
}
