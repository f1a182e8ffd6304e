//! From a configuration to a service: opens what it names, and says so.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use redtrove_bus::{Publisher, Settings};
use redtrove_engine::ports::{Bus, Clock, NoBus, Store};
use redtrove_service::{Health, Metrics, Shutdown, SystemClock, metrics};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Parts, Unwatched};
use crate::auth::{Authenticator, Keystone, StaticTokens};
use crate::config::{Auth, AuthStrategy, Config};
use crate::metrics::{ApiMetrics, TokenChecks};

/// Opens database, broker and tokens.
pub async fn app(config: Config, shutdown: &Shutdown) -> anyhow::Result<App> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let numbers = Arc::new(Metrics::new("api", env!("CARGO_PKG_VERSION")));
    let api_metrics = ApiMetrics::register(&numbers);
    let authenticator = authenticator(&config.auth, clock.clone(), api_metrics.token_checks.clone(), shutdown)?;
    let store = store(&config).await?;
    let bus = bus(&config, clock.clone(), shutdown)?;
    let unwatched = Unwatched::default();
    let (learnt, asked, expiry) = (unwatched.clone(), store.clone(), config.status.agent_heartbeat_expiry.duration());
    let health = Health::watch(shutdown, move || learn(asked.clone(), learnt.clone(), expiry));
    if let Some(monitoring) = &config.monitoring {
        metrics::serve(monitoring, numbers, move || health.check(), shutdown).await?;
    }
    let (tasks, stop) = (shutdown.tasks().clone(), shutdown.token().clone());
    Ok(App::new(Parts { store, bus, clock, authenticator, config, metrics: api_metrics, tasks, stop, unwatched }))
}

/// Whether the database answers, and whether anybody has watched members of late.
async fn learn(store: Arc<dyn Store>, unwatched: Unwatched, expiry: Duration) -> Result<(), String> {
    let watched = store.watched().await.map_err(|error| error.to_string())?;
    unwatched.put(watched.ended(expiry));
    Ok(())
}

async fn store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let url = config.database.url()?;
    redtrove_store::connect(url.expose_secret()).await.context("the database cannot be used")
}

/// No section, no broker: the taskmanagers' sweepers find the work.
fn bus(config: &Config, clock: Arc<dyn Clock>, shutdown: &Shutdown) -> anyhow::Result<Arc<dyn Bus>> {
    let Some(bus) = &config.bus else { return Ok(Arc::new(NoBus)) };
    let settings = Settings::parse(&bus.url()?).context("[bus] url_file cannot be used")?;
    let (tasks, stop) = (shutdown.tasks(), shutdown.token().clone());
    Ok(Arc::new(Publisher::start(settings, "redtrove-api", clock, tasks, stop)))
}

fn authenticator(
    auth: &Auth,
    clock: Arc<dyn Clock>,
    checks: TokenChecks,
    shutdown: &Shutdown,
) -> anyhow::Result<Arc<dyn Authenticator>> {
    match auth.strategy {
        AuthStrategy::Static => {
            let file = auth.static_tokens_file.as_deref().context("[auth] static_tokens_file is required")?;
            let tokens = StaticTokens::load(file).context("[auth] static_tokens_file cannot be used")?;
            tracing::info!(
                file = %file.display(),
                "STATIC TOKENS ARE IN USE: for demonstrations only, whoever can read {} can do everything",
                file.display()
            );
            Ok(Arc::new(tokens))
        }
        AuthStrategy::Keystone => {
            let config = auth.keystone.as_ref().context("[auth.keystone] is required")?;
            let keystone = Keystone::new(config, clock, checks);
            let keystone = Arc::new(keystone.context("[auth.keystone] cannot be used")?);
            shutdown.tasks().spawn(try_login(keystone.clone(), config.auth_url.to_string(), shutdown.token().clone()));
            Ok(keystone)
        }
    }
}

/// Tells the operator early whether tokens can be checked. Keystone may be away at our start: then requests are
/// refused until it is back, and nothing has to be restarted.
async fn try_login(keystone: Arc<Keystone>, url: String, stop: CancellationToken) {
    let Some(tried) = stop.run_until_cancelled(keystone.log_in()).await else { return };
    match tried {
        Ok(()) => tracing::info!("tokens are checked by Keystone at {url}"),
        Err(error) => tracing::warn!("requests are refused until Keystone at {url} can be asked: {error}"),
    }
}
