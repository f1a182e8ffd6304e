//! The gRPC methods: who may call them, what they are given, what they answer. What they do is in [`crate::node`].

mod deadline;

use std::future::Future;
use std::sync::Arc;

use redtrove_guest_rpc::metadata::{self, Generation};
use redtrove_guest_rpc::role::Role;
use redtrove_guest_rpc::v1::guest_agent_server::GuestAgent;
use redtrove_guest_rpc::{InvalidField, v1};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{Instrument, Span};

use crate::failure::Failure;
use crate::input;
use crate::node::Node;

/// The service of one node.
#[derive(Debug, Clone)]
pub struct Service {
    node: Arc<Node>,
    /// Cancelled when the agent ends and no call can be waited for any more.
    last_calls: CancellationToken,
}

impl Service {
    /// The service of `node`. Once `last_calls` is cancelled, callers are told to come again.
    pub fn new(node: Arc<Node>, last_calls: CancellationToken) -> Self {
        Self { node, last_calls }
    }

    /// What a call answers, or that it does not any more.
    async fn answered<R>(&self, work: impl Future<Output = Result<R, Failure>>) -> Result<R, Failure> {
        self.last_calls.run_until_cancelled(work).await.unwrap_or(Err(Failure::Stopping))
    }

    /// Lets a caller in who has `least` as its role; the span carries the ids into every line the call logs.
    fn enter<T>(&self, request: &Request<T>, method: &'static str, least: Role) -> Result<Span, Status> {
        let role = Role::of_request(request);
        if role.is_none_or(|role| role < least) {
            tracing::warn!(rpc.method = method, "a caller without the role for {method} was refused");
            return Err(Status::permission_denied(match least {
                Role::Reader => "the client certificate has no role",
                Role::Control => "the client certificate does not have the role control",
            }));
        }
        let span = tracing::info_span!(
            "call",
            rpc.method = method,
            instance.id = %self.node.instance(),
            cluster.id = tracing::field::Empty,
            request.id = tracing::field::Empty,
            generation = tracing::field::Empty,
        );
        if let Some(id) = metadata::request_id(request.metadata())? {
            span.record("request.id", id.as_str());
        }
        if method != "Prepare" {
            self.name_cluster(&span);
        }
        Ok(span)
    }

    /// Before `Prepare` is done the node has no cluster.
    fn name_cluster(&self, span: &Span) {
        if let Some(state) = self.node.state() {
            span.record("cluster.id", tracing::field::display(state.prepared.cluster));
        }
    }

    /// A method marked "reads". It answers before the caller stops waiting: a redis-server that hangs is not to look like an
    /// agent that is silent.
    async fn read<T, R, F, W>(&self, request: Request<T>, method: &'static str, work: W) -> Result<Response<R>, Status>
    where
        F: Future<Output = Result<R, Failure>>,
        W: FnOnce(Arc<Node>) -> F,
    {
        let span = self.enter(&request, method, Role::Reader)?;
        let patience = deadline::patience(request.metadata());
        let work = async {
            let answer = timeout(patience, work(Arc::clone(&self.node))).await;
            let late = || Failure::Unavailable(format!("redis-server did not answer within {patience:?}"));
            answer.unwrap_or_else(|_| Err(late()))
        };
        Ok(Response::new(self.answered(work.instrument(span)).await?))
    }

    /// A method marked "changes": the request is read before the generation counts, and the work runs alone.
    async fn change<T, C, F, W>(
        &self,
        request: Request<T>,
        method: &'static str,
        check: impl FnOnce(T) -> Result<C, InvalidField>,
        work: W,
    ) -> Result<(), Status>
    where
        C: Send + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
        W: FnOnce(Arc<Node>, C) -> F + Send + 'static,
    {
        let span = self.enter(&request, method, Role::Control)?;
        let generation: Generation = metadata::generation(request.metadata())?;
        span.record("generation", generation.number());
        let checked = check(request.into_inner())?;
        let change = self.node.change(generation, move |node| work(node, checked));
        let done = self.answered(change.instrument(span.clone())).await;
        if method == "Prepare" {
            self.name_cluster(&span);
        }
        let instance = self.node.instance();
        span.in_scope(|| match &done {
            Ok(()) => tracing::info!("{method} of instance {instance} is done"),
            Err(error) => tracing::warn!("{method} of instance {instance} failed: {error}"),
        });
        Ok(done?)
    }
}

#[tonic::async_trait]
impl GuestAgent for Service {
    async fn get_node_ip(
        &self,
        request: Request<v1::GetNodeIpRequest>,
    ) -> Result<Response<v1::GetNodeIpResponse>, Status> {
        self.read(request, "GetNodeIp", async |node: Arc<Node>| {
            let (ip, port) = node.address();
            Ok(v1::GetNodeIpResponse { ip: ip.to_string(), port: port.into() })
        })
        .await
    }

    async fn get_node_id_for_removal(
        &self,
        request: Request<v1::GetNodeIdForRemovalRequest>,
    ) -> Result<Response<v1::GetNodeIdForRemovalResponse>, Status> {
        self.read(request, "GetNodeIdForRemoval", async |node: Arc<Node>| {
            let id = node.id_for_removal().await?;
            Ok(v1::GetNodeIdForRemovalResponse { node_id: id.map(Into::into) })
        })
        .await
    }

    async fn remove_nodes(
        &self,
        request: Request<v1::RemoveNodesRequest>,
    ) -> Result<Response<v1::RemoveNodesResponse>, Status> {
        self.change(request, "RemoveNodes", |request| input::remove_nodes(&request), Node::forget).await?;
        Ok(Response::new(v1::RemoveNodesResponse {}))
    }

    async fn cluster_meet(
        &self,
        request: Request<v1::ClusterMeetRequest>,
    ) -> Result<Response<v1::ClusterMeetResponse>, Status> {
        let check = |request| input::meet(&request, self.node.address());
        self.change(request, "ClusterMeet", check, Node::meet).await?;
        Ok(Response::new(v1::ClusterMeetResponse {}))
    }

    async fn cluster_addslots(
        &self,
        request: Request<v1::ClusterAddslotsRequest>,
    ) -> Result<Response<v1::ClusterAddslotsResponse>, Status> {
        self.change(request, "ClusterAddslots", |request| input::add_slots(&request), Node::add_slots).await?;
        Ok(Response::new(v1::ClusterAddslotsResponse {}))
    }

    async fn cluster_complete(
        &self,
        request: Request<v1::ClusterCompleteRequest>,
    ) -> Result<Response<v1::ClusterCompleteResponse>, Status> {
        self.change(request, "ClusterComplete", |_| Ok(()), |node, ()| node.complete()).await?;
        Ok(Response::new(v1::ClusterCompleteResponse {}))
    }

    async fn close_to_tenants(
        &self,
        request: Request<v1::CloseToTenantsRequest>,
    ) -> Result<Response<v1::CloseToTenantsResponse>, Status> {
        let check = |request: v1::CloseToTenantsRequest| input::expected_node(&request.expected_node_id);
        self.change(request, "CloseToTenants", check, Node::close).await?;
        Ok(Response::new(v1::CloseToTenantsResponse {}))
    }

    async fn reopen_to_tenants(
        &self,
        request: Request<v1::ReopenToTenantsRequest>,
    ) -> Result<Response<v1::ReopenToTenantsResponse>, Status> {
        let check = |request: v1::ReopenToTenantsRequest| input::expected_node(&request.expected_node_id);
        self.change(request, "ReopenToTenants", check, Node::reopen).await?;
        Ok(Response::new(v1::ReopenToTenantsResponse {}))
    }

    async fn leave_cluster(
        &self,
        request: Request<v1::LeaveClusterRequest>,
    ) -> Result<Response<v1::LeaveClusterResponse>, Status> {
        let check = |request: v1::LeaveClusterRequest| input::expected_node(&request.expected_node_id);
        self.change(request, "LeaveCluster", check, Node::leave).await?;
        Ok(Response::new(v1::LeaveClusterResponse {}))
    }

    async fn prepare(&self, request: Request<v1::PrepareRequest>) -> Result<Response<v1::PrepareResponse>, Status> {
        let check = |request| input::prepare(request, self.node.instance(), self.node.engines());
        self.change(request, "Prepare", check, Node::prepare).await?;
        Ok(Response::new(v1::PrepareResponse {}))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let patience = deadline::patience(request.metadata());
        self.read(request, "GetStatus", async |node: Arc<Node>| node.status(patience / 2).await).await
    }

    async fn get_topology(
        &self,
        request: Request<v1::GetTopologyRequest>,
    ) -> Result<Response<v1::GetTopologyResponse>, Status> {
        self.read(request, "GetTopology", async |node: Arc<Node>| Ok(node.view().await?.into())).await
    }
}
