//! An authority, and a guest that answers what a test tells it to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use redtrove_core::InstanceId;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::client::Tls;
use crate::role::CONTROL_NAME;
use crate::v1;
use crate::v1::guest_agent_server::{GuestAgent, GuestAgentServer};

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose, until: Option<OffsetDateTime>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        params.not_after = until.unwrap_or(params.not_after);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The control plane's side.
    pub(crate) fn control(&self) -> Tls {
        let (cert_pem, key) = self.issue(CONTROL_NAME, ExtendedKeyUsagePurpose::ClientAuth, None);
        Tls { ca_pem: self.pem.clone(), cert_pem, key_pem: key.into() }
    }

    /// A guest's side; one that expired in 2020 if that is asked for.
    pub(super) fn guest(&self, id: InstanceId, expired: bool) -> ServerTlsConfig {
        let until = expired.then(|| rcgen::date_time_ymd(2020, 1, 1));
        let (certificate, key) = self.issue(&id.to_string(), ExtendedKeyUsagePurpose::ServerAuth, until);
        let identity = Identity::from_pem(certificate, key);
        ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(&self.pem))
    }
}

/// What the guest was asked.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) metadata: MetadataMap,
    pub(super) message: String,
}

/// What the guest answers to everything.
#[derive(Clone)]
pub(super) enum Says {
    /// What it is to say when all is well.
    Fine,
    /// This status.
    Fails(Status),
    /// Nothing, for this long.
    Sleeps(Duration),
    /// An answer that breaks the contract.
    Nonsense,
}

#[derive(Clone)]
pub(super) struct FakeGuest {
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl FakeGuest {
    pub(super) fn new() -> Self {
        Self { says: Arc::new(Mutex::new(Says::Fine)), heard: Arc::default() }
    }

    pub(super) fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    async fn hear<T: std::fmt::Debug>(&self, request: Request<T>) -> Result<bool, Status> {
        let metadata = request.metadata().clone();
        self.heard.lock().unwrap().push(Heard { metadata, message: format!("{:?}", request.into_inner()) });
        let says = self.says.lock().unwrap().clone();
        match says {
            Says::Fine => Ok(true),
            Says::Nonsense => Ok(false),
            Says::Fails(status) => Err(status),
            Says::Sleeps(time) => {
                tokio::time::sleep(time).await;
                Ok(true)
            }
        }
    }

    /// Serves on a port of 127.0.0.1 until it is stopped; port 0 takes a free one.
    pub(super) async fn serve(&self, tls: ServerTlsConfig, port: u16) -> Serving {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let service = GuestAgentServer::new(self.clone());
        let router = Server::builder().tls_config(tls).unwrap().add_service(service);
        let stopped = stop.clone().cancelled_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            router.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped).await.unwrap();
        });
        Serving { port, stop, tasks }
    }
}

/// A guest that serves.
pub(super) struct Serving {
    pub(super) port: u16,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Serving {
    /// Ends as a program does that is asked to.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

pub(super) const NODE: &str = "07c37dfeb235213a872192d90877d0cd55635b91";

#[tonic::async_trait]
impl GuestAgent for FakeGuest {
    async fn get_node_ip(
        &self,
        request: Request<v1::GetNodeIpRequest>,
    ) -> Result<Response<v1::GetNodeIpResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn get_node_id_for_removal(
        &self,
        request: Request<v1::GetNodeIdForRemovalRequest>,
    ) -> Result<Response<v1::GetNodeIdForRemovalResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn remove_nodes(
        &self,
        request: Request<v1::RemoveNodesRequest>,
    ) -> Result<Response<v1::RemoveNodesResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn cluster_meet(
        &self,
        request: Request<v1::ClusterMeetRequest>,
    ) -> Result<Response<v1::ClusterMeetResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn cluster_addslots(
        &self,
        request: Request<v1::ClusterAddslotsRequest>,
    ) -> Result<Response<v1::ClusterAddslotsResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn cluster_complete(
        &self,
        request: Request<v1::ClusterCompleteRequest>,
    ) -> Result<Response<v1::ClusterCompleteResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn close_to_tenants(
        &self,
        request: Request<v1::CloseToTenantsRequest>,
    ) -> Result<Response<v1::CloseToTenantsResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn reopen_to_tenants(
        &self,
        request: Request<v1::ReopenToTenantsRequest>,
    ) -> Result<Response<v1::ReopenToTenantsResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn leave_cluster(
        &self,
        request: Request<v1::LeaveClusterRequest>,
    ) -> Result<Response<v1::LeaveClusterResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn prepare(&self, request: Request<v1::PrepareRequest>) -> Result<Response<v1::PrepareResponse>, Status> {
        self.hear(request).await.map(|_| Response::new(Default::default()))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let valid = self.hear(request).await?;
        Ok(Response::new(v1::GetStatusResponse {
            state: v1::RedisState::Running.into(),
            volume_used_bytes: 4096,
            node_id: Some(if valid { NODE.to_owned() } else { "none".to_owned() }),
            slots: vec![v1::SlotRange { first: 0, last: 100 }],
            failed_node_ids: vec![NODE.replace('0', "1")],
            cluster_state_ok: Some(false),
            ..Default::default()
        }))
    }

    async fn get_topology(
        &self,
        request: Request<v1::GetTopologyRequest>,
    ) -> Result<Response<v1::GetTopologyResponse>, Status> {
        let valid = self.hear(request).await?;
        let node = v1::Node {
            node_id: NODE.to_owned(),
            ip: "127.0.0.1".to_owned(),
            port: 6379,
            bus_port: 16379,
            myself: valid,
            role: v1::Role::Master.into(),
            connected: true,
            slots: vec![v1::SlotRange { first: 0, last: 9 }],
            ..Default::default()
        };
        let nodes = vec![node];
        Ok(Response::new(v1::GetTopologyResponse {
            node_id: NODE.to_owned(),
            keys: 3,
            nodes,
            closed_for_ms: Some(1500),
            ..Default::default()
        }))
    }
}
