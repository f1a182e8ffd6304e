//! The service's own token: when it is asked for, and what happens when it cannot be had.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redtrove_api::auth::Authenticator;
use redtrove_api::config;
use redtrove_api::metrics::TokenChecks;
use serde_json::{Value, json};

use super::fake::{Fake, Mood, MovableClock, PASSWORD};
use super::{is_unavailable, until};

#[tokio::test]
async fn it_is_renewed_before_it_ends() {
    let fake = Fake::start().await;
    let clock = Arc::new(MovableClock::default());
    let keystone = fake.keystone_at(&Value::Null, clock.clone());
    fake.state().own_life = 1000;
    for token in ["canary-1", "canary-2", "canary-3", "canary-4"] {
        fake.add(token);
    }
    keystone.identify("canary-1").await.unwrap();
    clock.forward(Duration::from_secs(890));
    keystone.identify("canary-2").await.unwrap();
    assert_eq!(fake.state().logins, 1, "more than a tenth is left");
    clock.forward(Duration::from_secs(20));
    // Keystone that takes no logins at the moment is no reason not to use what is still good.
    fake.state().login_mood = Mood::Status(503);
    keystone.identify("canary-3").await.unwrap();
    fake.state().login_mood = Mood::Good;
    keystone.identify("canary-4").await.unwrap();
    assert_eq!(fake.state().logins, 3);
    assert_eq!(fake.state().own.len(), 2);
}

#[tokio::test]
async fn one_that_keystone_no_longer_takes_is_replaced_by_one_login() {
    let fake = Fake::start().await;
    let keystone = fake.keystone(&Value::Null);
    let tokens: Vec<String> = (0..20).map(|n| format!("canary-{n}")).collect();
    tokens.iter().for_each(|token| fake.add(token));
    keystone.log_in().await.unwrap();
    fake.state().own.clear();
    let answers = join_all(tokens.iter().map(|token| keystone.identify(token))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(fake.state().logins, 2);
}

#[tokio::test]
async fn one_that_is_never_taken_is_trouble_and_no_loop() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    let keystone = fake.keystone(&Value::Null);
    fake.state().check_mood = Mood::Status(401);
    assert!(is_unavailable(&keystone, "canary-1").await);
    assert_eq!(fake.counts(), (2, 2));
}

#[tokio::test]
async fn a_refused_login_is_not_tried_at_every_request_and_a_new_password_is_taken_from_the_file() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    let config: config::Keystone = serde_json::from_value(fake.settings(&json!({}))).unwrap();
    let patient = config::Keystone { negative_cache_seconds: config.cache_seconds, ..config.clone() };
    std::fs::write(fake.password_file(), "wrong").unwrap();
    let make = |config| {
        redtrove_api::auth::Keystone::new(&config, Arc::new(MovableClock::default()), TokenChecks::default()).unwrap()
    };
    let keystone = make(patient);
    for _ in 0..5 {
        assert!(is_unavailable(&keystone, "canary-1").await);
    }
    assert_eq!(fake.state().logins, 1);

    let keystone = make(config);
    assert!(is_unavailable(&keystone, "canary-1").await);
    std::fs::write(fake.password_file(), PASSWORD).unwrap();
    until(&keystone, "canary-1", Ok(())).await;
}

#[tokio::test]
async fn each_refusal_of_a_login_is_followed_by_a_pause() {
    let fake = Fake::start().await;
    let keystone = fake.keystone(&Value::Null);
    fake.state().login_mood = Mood::Status(401);
    while fake.counts().0 < 2 {
        assert!(is_unavailable(&keystone, "canary-1").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tokens: Vec<String> = (0..50).map(|n| format!("canary-{n}")).collect();
    join_all(tokens.iter().map(|token| keystone.identify(token))).await;
    // One more where the machine is slow, not fifty.
    assert!(fake.counts().0 <= 3, "{:?}", fake.counts());
}

#[tokio::test]
async fn trouble_at_login_is_trouble() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    let keystone = fake.keystone(&Value::Null);
    let moods = [Mood::Status(500), Mood::Status(302), Mood::Says(String::new()), Mood::Says("{}".to_owned())];
    for mood in moods {
        fake.state().login_mood = mood.clone();
        assert!(is_unavailable(&keystone, "canary-1").await, "{mood:?}");
    }
    // A token in the body and none in the header.
    let body = json!({"token": super::document("p", &["service"], 3600)}).to_string();
    fake.state().login_mood = Mood::Says(body);
    assert!(is_unavailable(&keystone, "canary-1").await);
    fake.state().login_mood = Mood::Good;
    keystone.identify("canary-1").await.unwrap();
}

#[tokio::test]
async fn without_a_password_it_is_not_made() {
    let fake = Fake::start().await;
    let config: config::Keystone = serde_json::from_value(fake.settings(&json!({}))).unwrap();
    let make = |config: &config::Keystone| {
        let made = redtrove_api::auth::Keystone::new(config, Arc::new(MovableClock::default()), TokenChecks::default());
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(make(&config), "");
    for (text, part) in [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\n!\n", "ca_file")] {
        let ca_file = fake.password_file().with_file_name("ca.pem");
        std::fs::write(&ca_file, text).unwrap();
        let error = make(&config::Keystone { ca_file: Some(ca_file), ..config.clone() });
        assert!(error.contains(part), "{error}");
    }
    std::fs::remove_file(fake.password_file()).unwrap();
    assert!(make(&config).contains("cannot read the secret file"));
}
