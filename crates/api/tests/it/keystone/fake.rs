//! As much of Keystone as a service that checks tokens sees, with faults to order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use redtrove_api::auth::Keystone;
use redtrove_api::config;
use redtrove_api::metrics::TokenChecks;
use redtrove_core::Timestamp;
use redtrove_engine::ports::Clock;
use redtrove_service::SystemClock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

/// The password of the service's own user.
pub(crate) const PASSWORD: &str = "canary-password";

/// How the fake behaves to a kind of request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As Keystone does.
    #[default]
    Good,
    /// Answers with this status and a body that is none of Keystone's.
    Status(u16),
    /// Answers 200 with this body.
    Says(String),
    /// Takes the request and never answers.
    Silent,
}

#[derive(Default)]
pub(crate) struct State {
    /// Known tokens and what is said of them.
    pub(crate) tokens: BTreeMap<String, Value>,
    /// Tokens of the service's own that are taken.
    pub(crate) own: BTreeSet<String>,
    pub(crate) logins: u32,
    pub(crate) checks: u32,
    /// Whether somebody went where an answer sent him.
    pub(crate) strayed: bool,
    pub(crate) login_mood: Mood,
    pub(crate) check_mood: Mood,
    /// How long a token of the service's own lives, seconds.
    pub(crate) own_life: i64,
}

/// A running fake; it stops with this value.
pub(crate) struct Fake {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    /// One permit lets one check through, where a test has taken all.
    pub(crate) gate: Arc<Semaphore>,
    server: JoinSet<()>,
    directory: tempfile::TempDir,
}

#[derive(Clone)]
struct Inside {
    state: Arc<Mutex<State>>,
    gate: Arc<Semaphore>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(url, |router| async move { axum::serve(listener, router).await.unwrap() })
    }

    /// Serves in whatever way `run` does.
    pub(crate) fn serve<F: Future<Output = ()> + Send + 'static>(url: String, run: impl FnOnce(Router) -> F) -> Self {
        let state = Arc::new(Mutex::new(State { own_life: 3600, ..State::default() }));
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let inside = Inside { state: state.clone(), gate: gate.clone() };
        let router = Router::new()
            .route("/v3/auth/tokens", get(check).post(log_in))
            .route("/elsewhere", any(stray))
            .with_state(inside);
        let mut server = JoinSet::new();
        server.spawn(run(router));
        Self { url, state, gate, server, directory: tempfile::tempdir().unwrap() }
    }

    /// Ends it: whoever comes now is refused the connection.
    pub(crate) async fn stop(&mut self) {
        self.server.shutdown().await;
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Logins and checks so far.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let state = self.state();
        (state.logins, state.checks)
    }

    /// Makes a token known that is good for project `p1` and an hour.
    pub(crate) fn add(&self, token: &str) {
        self.state().tokens.insert(token.to_owned(), document("p1", &["member"], 3600));
    }

    /// Settings for it, with one second for everything that can be set; `more` on top.
    pub(crate) fn settings(&self, more: &Value) -> Value {
        let file = self.password_file();
        std::fs::write(&file, PASSWORD).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut settings = json!({
            "auth_url": self.url, "username": "trove", "password_file": file, "project_name": "service",
            "negative_cache_seconds": 1, "timeout_seconds": 1,
        });
        settings.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        settings
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.directory.path().join("password")
    }

    /// Somebody who asks it.
    pub(crate) fn keystone(&self, more: &Value) -> Arc<Keystone> {
        self.keystone_at(more, Arc::new(MovableClock::default()))
    }

    pub(crate) fn keystone_at(&self, more: &Value, clock: Arc<MovableClock>) -> Arc<Keystone> {
        let config: config::Keystone = serde_json::from_value(self.settings(more)).unwrap();
        Arc::new(Keystone::new(&config, clock, TokenChecks::default()).unwrap())
    }
}

/// What Keystone says of a good token.
pub(crate) fn document(project: &str, roles: &[&str], seconds: i64) -> Value {
    let roles: Vec<Value> = roles.iter().map(|role| json!({"id": format!("id-{role}"), "name": role})).collect();
    json!({
        "methods": ["password"],
        "expires_at": in_seconds(seconds),
        "user": {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": project, "name": "alpha", "domain": {"id": "default", "name": "Default"}},
        "roles": roles,
    })
}

fn in_seconds(seconds: i64) -> String {
    format!("{}.000000Z", Timestamp(SystemClock.now().0 + seconds * 1000))
}

async fn log_in(Shared(inside): Shared<Inside>, Json(body): Json<Value>) -> Response {
    let (number, mood, life) = {
        let mut state = inside.state.lock().unwrap();
        state.logins += 1;
        (state.logins, state.login_mood.clone(), state.own_life)
    };
    if let Some(response) = moody(mood).await {
        return response;
    }
    let user = &body["auth"]["identity"]["password"]["user"];
    let (name, password, project) = (&user["name"], &user["password"], &body["auth"]["scope"]["project"]["name"]);
    if (name, password, project) != (&json!("trove"), &json!(PASSWORD), &json!("service")) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": {"code": 401}}))).into_response();
    }
    let token = format!("canary-own-{number}");
    inside.state.lock().unwrap().own.insert(token.clone());
    let body = json!({"token": document("p-service", &["service"], life)});
    (StatusCode::CREATED, [("x-subject-token", token)], Json(body)).into_response()
}

async fn check(Shared(inside): Shared<Inside>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    assert_eq!(query.as_deref(), Some("nocatalog"), "a catalogue is asked for");
    let mood = {
        let mut state = inside.state.lock().unwrap();
        state.checks += 1;
        state.check_mood.clone()
    };
    let _passed = inside.gate.acquire().await.unwrap();
    if let Some(response) = moody(mood).await {
        return response;
    }
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    let state = inside.state.lock().unwrap();
    let status = StatusCode::UNAUTHORIZED;
    if !state.own.contains(header("x-auth-token")) {
        return (status, Json(json!({"error": {"code": 401}}))).into_response();
    }
    match state.tokens.get(header("x-subject-token")) {
        Some(token) => Json(json!({ "token": token })).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": {"code": 404}}))).into_response(),
    }
}

async fn stray(Shared(inside): Shared<Inside>) {
    inside.state.lock().unwrap().strayed = true;
}

async fn moody(mood: Mood) -> Option<Response> {
    match mood {
        Mood::Good => None,
        Mood::Says(body) => Some(Body::from(body).into_response()),
        Mood::Silent => std::future::pending().await,
        Mood::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap();
            let away = [("location", "/elsewhere")];
            Some((status, away, "<html>not what you think</html>").into_response())
        }
    }
}

/// The system's clock, put forward by so much.
#[derive(Default)]
pub(crate) struct MovableClock(AtomicI64);

impl MovableClock {
    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::Relaxed))
    }

    fn random_id(&self) -> Uuid {
        SystemClock.random_id()
    }

    fn ordered_id(&self) -> Uuid {
        SystemClock.ordered_id()
    }

    fn jitter(&self, most: Duration) -> Duration {
        SystemClock.jitter(most)
    }
}
