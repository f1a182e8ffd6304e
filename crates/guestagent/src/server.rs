//! The agent as a whole: the node, its service, health and reflection, behind mutual TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use redtrove_guest_rpc::DESCRIPTORS;
use redtrove_guest_rpc::v1::guest_agent_server::GuestAgentServer;
use redtrove_service::{Shutdown, notify};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::config::Config;
use crate::home::Home;
use crate::node::{Identity, Node};
use crate::service::Service;

/// How long a connection may be silent before it is asked whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a call may still run when the agent ends; then its caller is told to come again, and the call goes on by
/// itself for as long as the agent lives.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// How long callers have to read their answers and hang up after that; one that is paused never would.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often the agent asks its node how it is, as a caller would.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long an agent that does not even come to ask may be at that: a redis-server or a disk that hangs is no reason.
const LOOKS_WITHIN: Duration = Duration::from_secs(30);
/// The largest request: a thousand node ids and a hundred long settings are below it. Bytes.
const MAX_REQUEST: usize = 256 * 1024;

/// How long `CloseToTenants` closes a node: enough for a caller who is restarted to go on, and short enough for tenants
/// whom nobody lets in again.
const CLOSING: Duration = Duration::from_secs(120);

/// Serves until `shutdown` begins. redis-server is left as it is. Where another agent has the directory, there is
/// nothing to do and no error.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    serve(config, CLOSING, shutdown).await
}

/// As [`run`], with another time that `CloseToTenants` closes the node for.
pub async fn serve(config: Config, closing: Duration, shutdown: Shutdown) -> anyhow::Result<()> {
    let tls = config.tls.load()?;
    let directory = &config.guestagent.directory;
    let home = Home::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    let Some(_lock) = home.lock().with_context(|| format!("cannot lock {}", directory.display()))? else {
        tracing::info!("another guest agent serves {} already", directory.display());
        return Ok(());
    };
    let address = SocketAddr::new(config.guestagent.bind_ip, config.guestagent.port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let identity = Identity {
        instance: config.guestagent.instance_id,
        ip: config.guestagent.bind_ip,
        supervisor: config.redis.supervisor(),
        engines: config.engines,
    };
    let instance = identity.instance;
    let node = Node::open(identity, home, closing, &shutdown)?;
    shutdown.tasks().spawn(look_now_and_then(Arc::clone(&node), shutdown.clone()));
    let last_calls = CancellationToken::new();
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<GuestAgentServer<Service>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let stop = shutdown.token().clone();
    let service = Service::new(node, last_calls.clone());
    let serving = Server::builder()
        .tls_config(tls)
        .context("the certificates of [tls] cannot be used")?
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(GuestAgentServer::new(service).max_decoding_message_size(MAX_REQUEST))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.clone().cancelled_owned(),
        );
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_CALLS).await;
        last_calls.cancel();
        tokio::time::sleep(FAREWELL).await;
    };
    tracing::info!(instance.id = %instance, "the guest agent of instance {instance} listens on {address}");
    notify::ready();
    tokio::select! {
        ended = serving => ended.context("the gRPC server ended"),
        () = patience => Ok(()),
    }
}

/// The agent's own proof, for systemd's watchdog, that its threads get to answer.
async fn look_now_and_then(node: Arc<Node>, shutdown: Shutdown) {
    let turns = shutdown.pulses().count("look at the node", LOOKS_WITHIN);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let looks = async {
        loop {
            ticks.tick().await;
            // What it says is for callers, who ask themselves.
            let _ = tokio::time::timeout(LOOK_EVERY, node.status(LOOK_EVERY)).await;
            turns.add();
        }
    };
    shutdown.token().run_until_cancelled(looks).await;
}
