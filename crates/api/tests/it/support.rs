//! A service of one's own: its database, its bus, and a client.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use redtrove_api::app::{App, Parts, Unwatched};
use redtrove_api::auth::{Authenticator, StaticTokens};
use redtrove_api::config::Config;
use redtrove_api::metrics::ApiMetrics;
use redtrove_core::catalogue::Flavor;
use redtrove_core::ids::{DatastoreId, DatastoreVersionId};
use redtrove_core::topology::Engine;
use redtrove_engine::ports::{Bus, BusError, Clock, NewVersion, Store, WakeUp};
use redtrove_service::{Metrics, SystemClock};
use serde_json::{Value, json};
use sqlx::{Connection, Row, SqliteConnection};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// The token of the member of project `p1`.
pub(crate) const MEMBER: &str = "canary-member";
/// A token for project `p1` whose only role is reader.
pub(crate) const READER: &str = "canary-reader";
/// A token for project `p1` with the role admin.
pub(crate) const ADMIN: &str = "canary-admin";
/// The token of the member of project `p2`.
pub(crate) const OTHER: &str = "canary-other";

const TOKENS: [(&str, &str, &str); 4] =
    [(MEMBER, "p1", "member"), (READER, "p1", "reader"), (ADMIN, "p1", "admin"), (OTHER, "p2", "member")];

/// Keeps what was published; fails or never answers if told to.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) wakes: Mutex<Vec<WakeUp>>,
    pub(crate) broken: bool,
    pub(crate) hangs: AtomicBool,
}

#[async_trait]
impl Bus for Published {
    async fn publish(&self, wake: &WakeUp) -> Result<(), BusError> {
        if self.hangs.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        if self.broken {
            return Err(BusError::Unavailable("connection refused".to_owned()));
        }
        self.wakes.lock().unwrap().push(wake.clone());
        Ok(())
    }
}

/// The service with everything around it.
pub(crate) struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<Published>,
    pub(crate) numbers: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    app: App,
    router: Router,
    directory: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The fault's name and message, after a look at its code.
    pub(crate) fn fault(&self) -> (String, String) {
        let body = self.json();
        let (name, fault) = body.as_object().unwrap().iter().next().unwrap();
        assert_eq!(fault["code"], self.status.as_u16(), "{body}");
        (name.clone(), fault["message"].as_str().unwrap().to_owned())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Service {
    /// With default settings, apart from quotas.
    pub(crate) async fn start() -> Self {
        Self::with("", false).await
    }

    /// With these settings on top, and a bus that works or does not.
    pub(crate) async fn with(settings: &str, broken_bus: bool) -> Self {
        Self::with_authenticator(settings, broken_bus, None).await
    }

    /// With somebody else who knows tokens.
    pub(crate) async fn with_authenticator(
        settings: &str,
        broken_bus: bool,
        authenticator: Option<Arc<dyn Authenticator>>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/redtrove.db", directory.path().display());
        redtrove_store::migrate(&url).await.unwrap();
        let store = redtrove_store::connect(&url).await.unwrap();
        let tokens = directory.path().join("tokens.toml");
        let entry = |(token, project, role): &(&str, &str, &str)| {
            format!(
                "[[tokens]]\ntoken = \"{token}\"\nproject_id = \"{project}\"\nuser_id = \"u\"\nroles = [\"{role}\"]\n"
            )
        };
        std::fs::write(&tokens, TOKENS.iter().map(entry).collect::<String>()).unwrap();
        std::fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let quota = if settings.contains("[quota]") {
            ""
        } else {
            "[quota]\nmax_instances_per_tenant = -1\nmax_volumes_per_tenant = -1\n"
        };
        let strategy = if settings.contains("[auth.keystone]") { "keystone" } else { "static" };
        let text = format!(
            "[auth]\nstrategy = \"{strategy}\"\nstatic_tokens_file = \"{}\"\n[database]\nconnection = \"{url}\"\n{quota}{settings}",
            tokens.display()
        );
        let config: Config = redtrove_service::config::parse(directory.path(), &text).unwrap();
        let authenticator = authenticator.unwrap_or_else(|| Arc::new(StaticTokens::load(&tokens).unwrap()));
        let (bus, numbers) =
            (Arc::new(Published { broken: broken_bus, ..Published::default() }), Metrics::new("api", "0"));
        let (clock, tasks, numbers) = (Arc::new(SystemClock), TaskTracker::new(), Arc::new(numbers));
        let stop = CancellationToken::new();
        let metrics = ApiMetrics::register(&numbers);
        let parts = Parts {
            store: store.clone(),
            bus: bus.clone(),
            clock,
            authenticator,
            config,
            metrics,
            tasks: tasks.clone(),
            stop: stop.clone(),
            unwatched: Unwatched::default(),
        };
        let app = App::new(parts);
        let router = redtrove_api::router(app.clone());
        let service = Self { store, bus, numbers, tasks, stop, app, router, directory };
        service.fill().await;
        service
    }

    async fn fill(&self) {
        for (name, is_default) in [("7.0", true), ("3.0", false)] {
            let new = NewVersion {
                datastore: "redis".to_owned(),
                datastore_id: DatastoreId(SystemClock.random_id()),
                version: name.to_owned(),
                version_id: DatastoreVersionId(SystemClock.random_id()),
                engine: Engine::Redis,
                is_default,
                settings: BTreeMap::new(),
            };
            assert!(self.store.add_version(&new).await.unwrap());
        }
        let of = |id: &str, ephemeral| Flavor {
            id: id.into(),
            name: format!("m{id}"),
            ram: 512,
            vcpus: 1,
            disk: 5,
            ephemeral,
        };
        self.store.put_flavors(&[of("1", 0), of("2", 20), of("large-one", 0)]).await.unwrap();
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        ask_router(self.router.clone(), request).await
    }

    /// The router, to be served.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// What the router is made of.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Sends a request with a token, unless that is empty, and perhaps a JSON body.
    pub(crate) async fn call(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "db.test:8779");
        let request = if token.is_empty() { request } else { request.header("x-auth-token", token) };
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    /// GET as the member of `p1`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, &format!("/v1.0/p1{path}"), MEMBER, None).await
    }

    /// POST as the member of `p1`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, &format!("/v1.0/p1{path}"), MEMBER, Some(body)).await
    }

    /// Makes a cluster of `members` and returns it.
    pub(crate) async fn create(&self, name: &str, members: usize) -> Value {
        let answer = self.post("/clusters", &ask(name, members)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()["cluster"].clone()
    }

    /// Runs a statement on the database.
    pub(crate) async fn sql(&self, statement: &'static str) {
        let mut connection = self.connection().await;
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }

    /// How many rows each table has.
    pub(crate) async fn row_counts(&self) -> BTreeMap<String, i64> {
        let mut connection = self.connection().await;
        let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'");
        let mut counts = BTreeMap::new();
        for table in tables.fetch_all(&mut connection).await.unwrap() {
            let name: String = table.get(0);
            let count = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {name}")));
            counts.insert(name, count.fetch_one(&mut connection).await.unwrap().get(0));
        }
        counts
    }

    /// What clusters, instances and tasks say that a refused request must not have changed.
    pub(crate) async fn contents(&self) -> Vec<String> {
        let mut connection = self.connection().await;
        let sql = "SELECT 'c' || id || task || COALESCE(operation, '') || COALESCE(fault, '') || updated AS line \
                   FROM clusters UNION SELECT 'i' || id || lifecycle || COALESCE(fault, '') || updated FROM instances \
                   UNION SELECT 't' || id || state FROM tasks UNION SELECT 'q' || project_id || resource || in_use \
                   FROM quota_usages ORDER BY line";
        sqlx::query(sql).fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn connection(&self) -> SqliteConnection {
        let url = format!("sqlite://{}/redtrove.db", self.directory.path().display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    /// Waits for what was spawned behind answers.
    pub(crate) async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// Sends a request to a router.
pub(crate) async fn ask_router(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 16 * 1024 * 1024).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// A good body for `POST /clusters`.
pub(crate) fn ask(name: &str, members: usize) -> Value {
    let instance = json!({"flavorRef": "1", "volume": {"size": 2}});
    json!({"cluster": {
        "name": name, "datastore": {"type": "redis", "version": "7.0"}, "instances": vec![instance; members],
    }})
}

/// A body with ids and times masked, which differ from run to run.
pub(crate) fn redacted(body: &Value) -> Value {
    match body {
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), redacted(value))).collect(),
        Value::String(text) if text.len() == 19 && text.as_bytes()[10] == b'T' => "[time]".into(),
        Value::String(text) => {
            let mask =
                |part: &str| if part.parse::<uuid::Uuid>().is_ok() { "[uuid]".to_owned() } else { part.to_owned() };
            text.split('/').map(mask).collect::<Vec<_>>().join("/").into()
        }
        other => other.clone(),
    }
}
