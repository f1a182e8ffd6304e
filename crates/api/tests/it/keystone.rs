//! Tokens of Keystone, checked by a fake one: what is asked, how often, and what becomes of its answers and silences.

mod fake;
mod own_token;
mod service;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redtrove_api::auth::{AuthError, Authenticator, Keystone};
use serde_json::{Value, json};

use self::fake::{Fake, Mood, MovableClock, document};

/// Longer than anything takes that is set to a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether nobody knows, and nobody says that the token is bad.
async fn is_unavailable(keystone: &Keystone, token: &str) -> bool {
    matches!(keystone.identify(token).await, Err(AuthError::Unavailable(_)))
}

/// Asks until the answer is this one.
async fn until(keystone: &Keystone, token: &str, wanted: Result<(), AuthError>) {
    let began = Instant::now();
    loop {
        let answer = keystone.identify(token).await.map(drop);
        if answer == wanted {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "waited for {wanted:?}, the last answer was {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_token_is_its_callers_and_is_asked_about_once() {
    let fake = Fake::start().await;
    fake.state().tokens.insert("canary-1".to_owned(), document("p7", &["Admin", "member"], 3600));
    let keystone = fake.keystone(&Value::Null);
    for _ in 0..3 {
        let identity = keystone.identify("canary-1").await.unwrap();
        assert_eq!((identity.project.as_str(), identity.user.as_str()), ("p7", "u1"));
        assert_eq!(identity.roles, ["Admin", "member"]);
        assert!(identity.is_admin());
    }
    assert_eq!(fake.counts(), (1, 1));
}

#[tokio::test]
async fn an_address_may_end_in_its_version() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    for end in ["", "/", "/v3", "/v3/"] {
        let keystone = fake.keystone(&json!({"auth_url": format!("{}{end}", fake.url)}));
        keystone.identify("canary-1").await.unwrap();
    }
}

/// All hundred have asked before the first answer is let out.
#[tokio::test]
async fn a_hundred_who_ask_at_once_are_one_check() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    for (mood, good) in [(Mood::Status(500), false), (Mood::Good, true)] {
        let keystone = fake.keystone(&json!({"timeout_seconds": 20}));
        fake.state().check_mood = mood;
        fake.state().checks = 0;
        let closed = fake.gate.acquire_many(u32::MAX >> 3).await.unwrap();
        let rest = fake.gate.available_permits();
        fake.gate.forget_permits(rest);
        let open = async {
            fake.gate.add_permits(rest);
            drop(closed);
        };
        let (answers, ()) = tokio::join!(join_all((0..100).map(|_| keystone.identify("canary-1"))), open);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), if good { 100 } else { 0 });
        assert!(good || answers.iter().all(|answer| matches!(answer, Err(AuthError::Unavailable(_)))));
        assert_eq!(fake.state().checks, 1);
    }
}

#[tokio::test]
async fn a_token_ends_when_it_says_although_it_is_remembered() {
    let fake = Fake::start().await;
    let clock = Arc::new(MovableClock::default());
    let keystone = fake.keystone_at(&json!({"cache_seconds": 3600}), clock.clone());
    fake.state().tokens.insert("canary-1".to_owned(), document("p1", &["member"], 300));
    keystone.identify("canary-1").await.unwrap();
    clock.forward(Duration::from_secs(301));
    assert_eq!(keystone.identify("canary-1").await, Err(AuthError::Invalid));
    assert_eq!(fake.state().checks, 1, "it was remembered");
    // What ended before is not taken at Keystone's word either.
    fake.state().tokens.insert("canary-2".to_owned(), document("p1", &["member"], 300));
    assert_eq!(keystone.identify("canary-2").await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn a_token_that_ends_soon_is_remembered_no_longer_than_it_lives() {
    let fake = Fake::start().await;
    let keystone = fake.keystone(&json!({"cache_seconds": 3600}));
    fake.state().tokens.insert("canary-1".to_owned(), document("p1", &["member"], 3));
    keystone.identify("canary-1").await.unwrap();
    until(&keystone, "canary-1", Err(AuthError::Invalid)).await;
}

#[tokio::test]
async fn a_revoked_token_works_no_longer_than_it_is_remembered() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    let (short, long) = (fake.keystone(&json!({"cache_seconds": 1})), fake.keystone(&json!({"cache_seconds": 3600})));
    short.identify("canary-1").await.unwrap();
    long.identify("canary-1").await.unwrap();
    fake.state().tokens.clear();
    until(&short, "canary-1", Err(AuthError::Invalid)).await;
    long.identify("canary-1").await.unwrap();
}

#[tokio::test]
async fn a_no_is_remembered_for_a_short_time() {
    let fake = Fake::start().await;
    let keystone = fake.keystone(&json!({"negative_cache_seconds": 3600}));
    for _ in 0..5 {
        assert_eq!(keystone.identify("canary-1").await, Err(AuthError::Invalid));
    }
    assert_eq!(fake.state().checks, 1);
    let keystone = fake.keystone(&json!({"negative_cache_seconds": 1}));
    assert_eq!(keystone.identify("canary-1").await, Err(AuthError::Invalid));
    fake.add("canary-1");
    until(&keystone, "canary-1", Ok(())).await;
}

#[tokio::test]
async fn only_a_token_of_a_project_is_taken() {
    let fake = Fake::start().await;
    let keystone = fake.keystone(&Value::Null);
    for (token, scope) in [
        ("canary-unscoped", json!({})),
        ("canary-domain", json!({"domain": {"id": "default", "name": "Default"}})),
        ("canary-system", json!({"system": {"all": true}})),
    ] {
        let mut body = document("p1", &["admin"], 3600);
        body.as_object_mut().unwrap().remove("project");
        body.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        fake.state().tokens.insert(token.to_owned(), body);
        assert_eq!(keystone.identify(token).await, Err(AuthError::NoProject), "{token}");
        assert_eq!(keystone.identify(token).await, Err(AuthError::NoProject), "{token}");
    }
    assert_eq!(fake.state().checks, 3);
}

#[tokio::test]
async fn what_can_be_no_token_is_not_asked_about() {
    let fake = Fake::start().await;
    let keystone = fake.keystone(&Value::Null);
    for token in ["", " ", "canary 1", "canary\u{e4}", "canary\r\nx-auth-token: 1", &"x".repeat(8193)] {
        assert_eq!(keystone.identify(token).await, Err(AuthError::Invalid), "{token:.40}");
    }
    assert_eq!(fake.counts(), (0, 0));
}

#[tokio::test]
async fn trouble_at_keystone_is_never_a_bad_token_and_is_not_remembered() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    let keystone = fake.keystone(&Value::Null);
    let statuses = [300, 302, 400, 403, 405, 409, 413, 429, 500, 502, 503].map(Mood::Status);
    let said = ["", "null", "[]", "{}", "{\"token\": {}}", "<html>", "{\"token\": null}"].map(str::to_owned);
    let mut twisted = vec![
        json!({"token": {"expires_at": "soon", "user": {"id": "u"}, "project": {"id": "p"}}}).to_string(),
        json!({"token": document("../p1", &["member"], 3600)}).to_string(),
        format!("{{\"token\": \"{}\"}}", "x".repeat(3_000_000)),
    ];
    twisted.extend(said);
    for mood in statuses.into_iter().chain(twisted.into_iter().map(Mood::Says)) {
        fake.state().check_mood = mood.clone();
        assert!(is_unavailable(&keystone, "canary-1").await, "{:.80}", format!("{mood:?}"));
    }
    assert!(!fake.state().strayed, "a redirect would take tokens to somebody else");
    fake.state().check_mood = Mood::Good;
    keystone.identify("canary-1").await.unwrap();
}

#[tokio::test]
async fn a_silent_keystone_costs_no_more_than_the_set_time() {
    let fake = Fake::start().await;
    fake.add("canary-1");
    fake.add("canary-2");
    let keystone = fake.keystone(&Value::Null);
    keystone.identify("canary-1").await.unwrap();
    fake.state().check_mood = Mood::Silent;
    fake.state().login_mood = Mood::Silent;
    for keystone in [&keystone, &fake.keystone(&Value::Null)] {
        let began = Instant::now();
        assert!(is_unavailable(keystone, "canary-2").await);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    keystone.identify("canary-1").await.unwrap();
}

#[tokio::test]
async fn who_is_known_gets_in_while_keystone_is_down_and_nobody_else_does() {
    let mut fake = Fake::start().await;
    fake.add("canary-1");
    fake.add("canary-2");
    let keystone = fake.keystone(&Value::Null);
    keystone.identify("canary-1").await.unwrap();
    fake.stop().await;
    keystone.identify("canary-1").await.unwrap();
    assert!(is_unavailable(&keystone, "canary-2").await);
    assert!(is_unavailable(&keystone, "canary-3").await);
}
