//! The caller's side: the engine's `Guests` over gRPC with mutual TLS.
//!
//! Every call has a deadline, which the guest is told as well. A guest proves by its certificate that it is the
//! instance that was meant, whoever answers at its address.

mod answer;
mod channels;

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::plan::Joining;
use redtrove_core::{InstanceId, NodeId, RequestId, SlotRange};
use redtrove_engine::ports::{Guest, GuestError, GuestStatus, Guests, Order, PrepareSpec, Seen};
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use self::answer::{Cause, cause, invalid_answer};
use self::channels::Channels;
use crate::metadata::{self, Generation};
use crate::v1;
use crate::v1::guest_agent_client::GuestAgentClient;

/// The control plane's side of mutual TLS; all PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority that guests' certificates come from.
    pub ca_pem: String,
    /// The caller's certificate, with the role that the guest sees.
    pub cert_pem: String,
    /// The private key to it.
    pub key_pem: SecretString,
}

/// How guests are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The port that every guest's agent listens on.
    pub port: u16,
    /// How long a connection may take, and then its handshake.
    pub connect_timeout: Duration,
    /// How long a call may take that only reads.
    pub read_timeout: Duration,
    /// How long the answer to how a node is may take. The agent knows it, and says in time that its redis-server hangs.
    pub status_timeout: Duration,
    /// How long a call may take that changes a node, the start of its server included.
    pub change_timeout: Duration,
}

impl Default for Options {
    /// Trove's `agent_call_low_timeout` and `agent_call_high_timeout`.
    fn default() -> Self {
        Self {
            port: crate::DEFAULT_PORT,
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(15),
            status_timeout: Duration::from_secs(15),
            change_timeout: Duration::from_secs(180),
        }
    }
}

/// The client cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("the certificates for calls to guests cannot be used")]
pub struct InvalidTls(#[source] tonic::transport::Error);

/// Calls guests. Keeps a connection to each, made when it is first needed.
#[derive(Debug)]
pub struct Client {
    channels: Channels,
    options: Options,
}

impl Client {
    /// A client with these credentials. Nothing is connected yet.
    ///
    /// # Errors
    /// The credentials are not PEM, or the key does not fit the certificate.
    pub fn new(tls: &Tls, options: Options) -> Result<Self, InvalidTls> {
        Ok(Self { channels: Channels::new(tls, options).map_err(InvalidTls)?, options })
    }

    async fn read<T, R, F, W>(&self, guest: &Guest, message: T, work: W) -> Result<R, Failed>
    where
        T: Clone + Send,
        F: Future<Output = Result<Response<R>, Status>> + Send,
        W: Fn(GuestAgentClient<Channel>, Request<T>) -> F + Send + Sync,
    {
        self.call(guest, None, self.options.read_timeout, message, work).await
    }

    async fn change<T, R, F, W>(&self, guest: &Guest, order: &Order, message: T, work: W) -> Result<(), GuestError>
    where
        T: Clone + Send,
        F: Future<Output = Result<Response<R>, Status>> + Send,
        W: Fn(GuestAgentClient<Channel>, Request<T>) -> F + Send + Sync,
    {
        let generation = i64::try_from(order.generation).ok().and_then(Generation::new);
        let generation =
            generation.ok_or_else(|| GuestError::Refused(format!("{} is not a generation", order.generation)))?;
        let caller = Some((generation, &order.request));
        self.call(guest, caller, self.options.change_timeout, message, work).await?;
        Ok(())
    }

    /// Calls, and once more over a new connection if the one that was kept turns out to be broken: the guest's
    /// agent may have been restarted since the last call. Every method may be repeated.
    async fn call<T, R, F, W>(
        &self,
        guest: &Guest,
        caller: Option<(Generation, &RequestId)>,
        limit: Duration,
        message: T,
        work: W,
    ) -> Result<R, Failed>
    where
        T: Clone + Send,
        F: Future<Output = Result<Response<R>, Status>> + Send,
        W: Fn(GuestAgentClient<Channel>, Request<T>) -> F + Send + Sync,
    {
        let deadline = Instant::now() + limit;
        // A call that ran out of time on the guest is not one whose connection was broken from the start.
        let repeat_until = Instant::now() + limit / 2;
        let mut may_repeat = true;
        loop {
            let kept = self.channels.get(guest).map_err(|error| Failed::transport(error.to_string()))?;
            let mut request = Request::new(message.clone());
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            metadata::write(request.metadata_mut(), caller.map(|caller| caller.0), caller.map(|caller| caller.1));
            let answer = timeout_at(deadline, work(GuestAgentClient::new(kept.channel.clone()), request)).await;
            let failed = match answer {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Failed { cause: cause(&status), status: Some(status) },
                Err(_) => Failed::transport(format!("no answer within {limit:?}")),
            };
            if matches!(failed.cause, Cause::Transport(_)) {
                self.channels.drop_one(guest.instance, kept.number);
                if may_repeat && !kept.is_new && Instant::now() < repeat_until {
                    may_repeat = false;
                    continue;
                }
            }
            return Err(failed);
        }
    }
}

/// A call that failed.
struct Failed {
    cause: Cause,
    /// Absent if there was no time for one.
    status: Option<Status>,
}

impl Failed {
    fn transport(reason: String) -> Self {
        Self { cause: Cause::Transport(reason), status: None }
    }

    /// Whether the guest itself gave this answer.
    fn is_answer(&self, code: Code) -> bool {
        matches!(self.cause, Cause::Guest(_)) && self.status.as_ref().is_some_and(|status| status.code() == code)
    }
}

impl From<Failed> for GuestError {
    fn from(failed: Failed) -> Self {
        match failed.cause {
            Cause::Transport(reason) => Self::Silent(reason),
            Cause::Guest(error) => error,
        }
    }
}

/// A time as the contract has it. More than fits is more than a guest takes: it says so.
fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[async_trait]
impl Guests for Client {
    async fn status(&self, guest: &Guest) -> Result<GuestStatus, GuestError> {
        let call = |mut client: GuestAgentClient<Channel>, request| async move { client.get_status(request).await };
        let limit = self.options.status_timeout.min(self.options.read_timeout);
        let status = self.call(guest, None, limit, v1::GetStatusRequest {}, call).await?;
        answer::status(status).map_err(invalid_answer)
    }

    async fn topology(&self, guest: &Guest) -> Result<Seen, GuestError> {
        let call = |mut client: GuestAgentClient<Channel>, request| async move { client.get_topology(request).await };
        match self.read(guest, v1::GetTopologyRequest {}, call).await {
            Ok(view) => Ok(Seen::View(Box::new(view.try_into().map_err(invalid_answer)?))),
            Err(failed) if failed.is_answer(Code::FailedPrecondition) => Ok(Seen::Unprepared),
            Err(failed) => Err(failed.into()),
        }
    }

    async fn prepare(&self, guest: &Guest, order: &Order, spec: &PrepareSpec) -> Result<(), GuestError> {
        let message = v1::PrepareRequest {
            engine: spec.engine.name().to_owned(),
            cluster_id: spec.cluster.to_string(),
            instance_id: guest.instance.to_string(),
            ram_mb: spec.ram_mb,
            volume_gb: spec.volume_gb,
            settings: spec.settings.clone(),
        };
        let call = |mut client: GuestAgentClient<Channel>, request| async move { client.prepare(request).await };
        self.change(guest, order, message, call).await
    }

    async fn add_slots(
        &self,
        guest: &Guest,
        order: &Order,
        node: NodeId,
        slots: SlotRange,
        epoch: u64,
        forming_node_timeout: Duration,
    ) -> Result<(), GuestError> {
        let message = v1::ClusterAddslotsRequest {
            first_slot: slots.first().into(),
            last_slot: slots.last().into(),
            config_epoch: Some(epoch),
            forming_node_timeout_ms: Some(milliseconds(forming_node_timeout)),
            expected_node_id: Some(node.into()),
        };
        let call =
            |mut client: GuestAgentClient<Channel>, request| async move { client.cluster_addslots(request).await };
        self.change(guest, order, message, call).await
    }

    async fn meet(
        &self,
        guest: &Guest,
        order: &Order,
        ip: &str,
        port: u16,
        joining: Option<Joining>,
    ) -> Result<(), GuestError> {
        let message = v1::ClusterMeetRequest {
            ip: ip.to_owned(),
            port: port.into(),
            forming_node_timeout_ms: joining.map(|joining| milliseconds(joining.forming_node_timeout)),
            expected_node_id: joining.map(|joining| joining.node.into()),
        };
        let call = |mut client: GuestAgentClient<Channel>, request| async move { client.cluster_meet(request).await };
        self.change(guest, order, message, call).await
    }

    async fn complete(&self, guest: &Guest, order: &Order) -> Result<(), GuestError> {
        let call =
            |mut client: GuestAgentClient<Channel>, request| async move { client.cluster_complete(request).await };
        self.change(guest, order, v1::ClusterCompleteRequest {}, call).await
    }

    async fn close(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        let message = v1::CloseToTenantsRequest { expected_node_id: node.into() };
        let call =
            |mut client: GuestAgentClient<Channel>, request| async move { client.close_to_tenants(request).await };
        self.change(guest, order, message, call).await
    }

    async fn reopen(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        let message = v1::ReopenToTenantsRequest { expected_node_id: node.into() };
        let call =
            |mut client: GuestAgentClient<Channel>, request| async move { client.reopen_to_tenants(request).await };
        self.change(guest, order, message, call).await
    }

    async fn leave(&self, guest: &Guest, order: &Order, node: NodeId) -> Result<(), GuestError> {
        let message = v1::LeaveClusterRequest { expected_node_id: node.into() };
        let call = |mut client: GuestAgentClient<Channel>, request| async move { client.leave_cluster(request).await };
        self.change(guest, order, message, call).await
    }

    async fn remove_nodes(&self, guest: &Guest, order: &Order, nodes: &[NodeId]) -> Result<(), GuestError> {
        let message = v1::RemoveNodesRequest { node_ids: nodes.iter().map(|node| (*node).into()).collect() };
        let call = |mut client: GuestAgentClient<Channel>, request| async move { client.remove_nodes(request).await };
        self.change(guest, order, message, call).await
    }

    fn forget(&self, instance: InstanceId) {
        self.channels.forget(instance);
    }
}

#[cfg(test)]
mod tests;
