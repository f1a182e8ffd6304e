//! The daemon: opens what the configuration names, and runs until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use redtrove_bus::{Consumer, Settings};
use redtrove_compute::Local;
use redtrove_core::plan::Limits;
use redtrove_engine::{Clock, Engine, Guests, Options, Store, World};
use redtrove_guest_rpc::client;
use redtrove_service::{DaemonConfig, Health, Metrics, Shutdown, SystemClock, notify, secrets};
use secrecy::ExposeSecret;
use tracing::{info, warn};

use crate::config::{Config, Provider};
use crate::pki::GuestIssuer;
use crate::system::host_name;
use crate::{metrics, wake};

/// The pause between two looks for tasks, while messages bring them, and while nothing else does.
const SWEEP_WITH_BROKER: Duration = Duration::from_secs(5);
const SWEEP_WITHOUT_BROKER: Duration = Duration::from_millis(200);
/// The longest pause between two looks for machines that no row wants.
const ORPHANS_EVERY: Duration = Duration::from_secs(30);
/// The pause between two looks at the provider's flavors.
const FLAVORS_EVERY: Duration = Duration::from_secs(60);

/// How long the sweeper may take for one turn, its waits for a database that is slow or away included. One that takes
/// longer hangs, and systemd is to know.
const SWEEPER_TURNS_WITHIN: Duration = Duration::from_secs(120);

/// How long work that heeds the wish to stop may take to end: a step that takes longer than the engine lets it, a
/// database or a provider that hangs do not hold the daemon.
const LAST_WORK: Duration = Duration::from_secs(10);

/// Runs the taskmanager until `shutdown`.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let owner = config.taskmanager.host.clone().map_or_else(host_name, Ok)?;
    let store = open_store(&config).await?;
    let local = open_compute(&config, &clock)?;
    let guests = open_guests(&config)?;
    let world = World { store, compute: Arc::new(local.clone()), guests, clock: Arc::clone(&clock) };
    publish_flavors(&world).await?;
    let engine = Engine::new(world.clone(), options(&config, &owner), shutdown.token().clone());
    engine.reclaim().await.context("the database cannot be used")?;
    let consumer = consumer(&config, &owner, clock)?;
    let numbers = Arc::new(Metrics::new(Config::DAEMON, env!("CARGO_PKG_VERSION")));
    let bus = consumer.as_ref().map(|consumer| (consumer.connected(), consumer.dead_letters()));
    metrics::register(&numbers, engine.clone(), bus);
    let watched = Arc::clone(&world.store);
    let health = Health::watch(&shutdown, move || redtrove_store::health(Arc::clone(&watched)));
    let turning = engine.clone();
    shutdown.pulses().watch("sweeper", SWEEPER_TURNS_WITHIN, move || turning.turns());
    if let Some(monitoring) = &config.monitoring {
        redtrove_service::metrics::serve(monitoring, numbers, move || health.check(), &shutdown).await?;
    }
    notify::ready();
    info!("taskmanager {owner} is ready");
    let stop = shutdown.token();
    let work = async {
        let consume = async {
            match &consumer {
                Some(consumer) => consumer.run(&wake::Waker(engine.clone()), stop).await,
                None => stop.cancelled().await,
            }
        };
        tokio::join!(
            consume,
            engine.run_sweeper(),
            engine.run_orphan_sweeper(),
            engine.run_monitor(),
            local.run_supervisor(stop.clone()),
            keep_flavors_published(&world, &shutdown),
        );
        engine.drained().await;
    };
    match shutdown.work(LAST_WORK, Box::pin(work)).await {
        Some(()) => info!("taskmanager {owner} has stopped"),
        None => {
            warn!("taskmanager {owner} stops without having given back everything; what is left runs out by itself")
        }
    }
    Ok(())
}

/// Opens the configured database.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let url = config.database.url()?;
    redtrove_store::connect(url.expose_secret()).await.context("the database cannot be used")
}

/// Opens everything that the configuration names, for somebody who runs no tasks.
pub(crate) async fn open_world(config: &Config) -> anyhow::Result<World> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_store(config).await?;
    let compute = Arc::new(open_compute(config, &clock)?);
    Ok(World { store, compute, guests: open_guests(config)?, clock })
}

fn open_compute(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Local> {
    let issuer =
        GuestIssuer::open(&config.pki.directory, Arc::clone(clock)).context("[pki] directory cannot be used")?;
    match config.compute.provider {
        Provider::Local => {
            let (local, port) = (config.compute.local.clone(), config.guests.port.get());
            Local::open(local, port, Arc::new(issuer)).context("[compute.local] cannot be used")
        }
    }
}

fn open_guests(config: &Config) -> anyhow::Result<Arc<dyn Guests>> {
    let pem = |path: &std::path::Path| {
        std::fs::read_to_string(path).with_context(|| format!("[guests] cannot read {}", path.display()))
    };
    let tls = client::Tls {
        ca_pem: pem(&config.guests.ca)?,
        cert_pem: pem(&config.guests.cert)?,
        key_pem: secrets::read(&config.guests.key).context("[guests] key cannot be used")?,
    };
    let options = client::Options {
        port: config.guests.port.get(),
        read_timeout: config.taskmanager.agent_call_low_timeout.duration(),
        status_timeout: redtrove_engine::status_within(config.taskmanager.agent_heartbeat_time.duration()),
        change_timeout: config.taskmanager.agent_call_high_timeout.duration(),
        ..client::Options::default()
    };
    Ok(Arc::new(client::Client::new(&tls, options).context("[guests] cannot be used")?))
}

fn options(config: &Config, owner: &str) -> Options {
    let taskmanager = &config.taskmanager;
    Options {
        owner: owner.to_owned(),
        lease: taskmanager.lease_seconds.duration(),
        max_running: usize::try_from(taskmanager.max_running_tasks.get()).unwrap_or(usize::MAX),
        limits: Limits {
            guests_ready: taskmanager.usage_timeout.duration(),
            min_uptime: Duration::from_secs(taskmanager.min_uptime_before_forming.into()),
        },
        look_within: taskmanager.agent_call_low_timeout.duration() / 3,
        sweep_every: if config.bus.is_some() { SWEEP_WITH_BROKER } else { SWEEP_WITHOUT_BROKER },
        orphans_every: ORPHANS_EVERY.min(taskmanager.deleted_machine_grace.duration()),
        deleted_machine_grace: taskmanager.deleted_machine_grace.duration(),
        unknown_machine_grace: taskmanager.unknown_machine_grace(),
        heartbeat: taskmanager.agent_heartbeat_time.duration(),
    }
}

fn consumer(config: &Config, owner: &str, clock: Arc<dyn Clock>) -> anyhow::Result<Option<Consumer>> {
    let Some(bus) = &config.bus else { return Ok(None) };
    let settings = Settings::parse(&bus.url()?).context("[bus] url_file cannot be used")?;
    let prefetch = u16::try_from(config.taskmanager.max_running_tasks.get()).unwrap_or(u16::MAX);
    Ok(Some(Consumer::new(settings, &format!("redtrove-taskmanager {owner}"), clock, prefetch)))
}

/// The API offers what is published here: it does not know the provider.
async fn publish_flavors(world: &World) -> anyhow::Result<()> {
    let flavors = world.compute.flavors().await.context("the provider does not say what flavors it has")?;
    world.store.put_flavors(&flavors).await.context("the flavors cannot be published")
}

async fn keep_flavors_published(world: &World, shutdown: &Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FLAVORS_EVERY) => {}
            () = shutdown.token().cancelled() => return,
        }
        if let Err(error) = publish_flavors(world).await {
            info!("publishing the flavors failed: {error:#}");
        }
    }
}
