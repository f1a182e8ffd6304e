//! A daemon's numbers and health over HTTP: `GET /metrics` in OpenMetrics text, `GET /healthz`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::config::Monitoring;
use crate::shutdown::Shutdown;

/// Everything the daemon counts. Names begin with `redtrove_`.
pub struct Metrics {
    registry: Mutex<Registry>,
}

impl Metrics {
    /// A registry that holds `redtrove_build_info{daemon, version}`.
    pub fn new(daemon: &'static str, version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("redtrove");
        let build = Info::new(vec![("daemon", daemon), ("version", version)]);
        registry.register("build", "Which program answers, and its version", build);
        Self { registry: Mutex::new(registry) }
    }

    /// Registers further metrics.
    pub fn register<R>(&self, add: impl FnOnce(&mut Registry) -> R) -> R {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

type Ready = dyn Fn() -> Result<(), String> + Send + Sync;

struct Shared {
    metrics: Arc<Metrics>,
    ready: Box<Ready>,
    shutdown: Shutdown,
}

/// Binds `[monitoring] bind` and serves until the daemon stops; returns the address, which also is logged.
///
/// `ready` says whether the daemon can do its work, or in one sentence why not: /healthz answers 200 `ok`, or 503 and
/// the sentence. While the daemon stops it is not asked.
pub async fn serve(
    monitoring: &Monitoring,
    metrics: Arc<Metrics>,
    ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    shutdown: &Shutdown,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(monitoring.bind).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot bind [monitoring] bind = {}: {error}", monitoring.bind))
    })?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared { metrics, ready: Box::new(ready), shutdown: shutdown.clone() });
    let router = Router::new().route("/metrics", get(show_metrics)).route("/healthz", get(show_health));
    let server = axum::serve(listener, router.with_state(shared))
        .with_graceful_shutdown(shutdown.token().clone().cancelled_owned());
    shutdown.tasks().spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the monitoring listener ended: {error}");
        }
    });
    tracing::info!(address = %address, "metrics and health on http://{address}");
    Ok(address)
}

async fn show_metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn show_health(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    if shared.shutdown.token().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match (shared.ready)() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
