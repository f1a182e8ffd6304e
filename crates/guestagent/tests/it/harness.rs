//! Agents with their certificates, directories and addresses, and clients of theirs.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use redtrove_guest_rpc::metadata::{self, Generation};
use redtrove_guest_rpc::role::{CONTROL_NAME, READER_NAME};
use redtrove_guest_rpc::v1;
use redtrove_guest_rpc::v1::guest_agent_client::GuestAgentClient;
use redtrove_guestagent::Config;
use redtrove_guestagent::process::ProcessMark;
use redtrove_guestagent::server::serve;
use redtrove_service::Shutdown;
use redtrove_service::config::load_checked;
use redtrove_testkit::stack::block::Block;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};

/// How long anything here may take; two cores are shared with others.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// The cluster of every test.
pub(crate) const CLUSTER: &str = "0f0f0f0f-ba55-4302-bbd3-ff566032e1c1";

/// Looks until `condition` yields a value.
pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(reason: &str, mut condition: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < LIMIT, "waited in vain for {reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A certificate authority, an address block and a directory, for the nodes of one test.
pub(crate) struct World {
    pub(crate) place: TempDir,
    block: Block,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub(crate) struct Papers {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let block = (200..=250).find_map(Block::try_take).expect("a free address block");
        Self { place: tempfile::tempdir().unwrap(), block, ca }
    }

    pub(crate) fn papers(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Papers {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.ca).unwrap();
        Papers { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// The address of node `number`.
    pub(crate) fn ip(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block.number(), 0, 1 + number)
    }

    /// A running agent, number 1 and on.
    pub(crate) async fn agent(&self, number: u8) -> Agent {
        self.agent_in(number, &self.place.path().join(format!("node-{number}"))).await
    }

    pub(crate) async fn agent_in(&self, number: u8, directory: &Path) -> Agent {
        self.agent_that_runs(number, directory, Path::new("/usr/bin/redis-server")).await
    }

    /// A running agent whose redis-server is `redis`.
    pub(crate) async fn agent_that_runs(&self, number: u8, directory: &Path, redis: &Path) -> Agent {
        let mut agent = self.agent_to_start(number, directory, redis);
        agent.start();
        agent.listening().await;
        agent
    }

    /// An agent inside of this process, which closes its node for `closing` and runs `redis`.
    pub(crate) async fn agent_within(&self, number: u8, closing: Duration, redis: &Path) -> Agent {
        let directory = self.place.path().join(format!("node-{number}"));
        let mut agent = self.agent_to_start(number, &directory, redis);
        let config = load_checked::<Config>(&agent.config).unwrap();
        let shutdown = Shutdown::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(config, closing, shutdown));
        agent.within = Some(tasks);
        agent.listening().await;
        agent
    }

    fn agent_to_start(&self, number: u8, directory: &Path, redis: &Path) -> Agent {
        let instance = format!("416b0b16-ba55-4302-bbd3-ff56603200{number:02}");
        let papers = self.papers(&instance, ExtendedKeyUsagePurpose::ServerAuth);
        let file = |name: &str, text: &str| {
            let path = self.place.path().join(format!("{number}-{name}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = format!(
            "[guestagent]\ninstance_id = \"{instance}\"\ndirectory = {directory:?}\nbind_ip = \"{}\"\n\
             [tls]\nca = {:?}\ncert = {:?}\nkey = {:?}\n\
             [engines]\nredis = {redis:?}\nvalkey = \"/usr/bin/redis-server\"\n",
            self.ip(number),
            file("ca.pem", &self.ca.pem()),
            file("cert.pem", &papers.cert),
            file("key.pem", &papers.key),
        );
        let config = file("agent.toml", &config);
        let log = self.place.path().join(format!("{number}-agent.log"));
        let (ip, directory) = (self.ip(number).into(), directory.to_owned());
        Agent { instance, ip, directory, config, log, child: None, within: None }
    }

    /// A channel to `agent`, with these papers or none.
    pub(crate) async fn channel(
        &self,
        agent: &Agent,
        papers: Option<Papers>,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.ca.pem()))
            .domain_name(agent.instance.clone());
        if let Some(papers) = papers {
            tls = tls.identity(Identity::from_pem(papers.cert, papers.key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}:8780", agent.ip))?.tls_config(tls)?;
        endpoint.connect_timeout(Duration::from_secs(5)).timeout(LIMIT).connect().await
    }

    /// The client of somebody with this name in a client certificate.
    pub(crate) async fn client_named(&self, agent: &Agent, name: &str) -> Client {
        let papers = self.papers(name, ExtendedKeyUsagePurpose::ClientAuth);
        Client(GuestAgentClient::new(self.channel(agent, Some(papers)).await.unwrap()))
    }

    pub(crate) async fn control(&self, agent: &Agent) -> Client {
        self.client_named(agent, CONTROL_NAME).await
    }

    pub(crate) async fn reader(&self, agent: &Agent) -> Client {
        self.client_named(agent, READER_NAME).await
    }
}

/// One agent's process. Its end in a test is the end of its redis-server, too.
pub(crate) struct Agent {
    pub(crate) instance: String,
    pub(crate) ip: IpAddr,
    pub(crate) directory: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    child: Option<Child>,
    /// Where it is no process of its own.
    within: Option<JoinSet<anyhow::Result<()>>>,
}

impl Agent {
    pub(crate) fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = self.command().stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.child = Some(child.unwrap());
    }

    /// The agent's program and arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redtrove-guestagent"));
        command.arg("--config").arg(&self.config);
        command
    }

    /// Waits until the agent listens.
    async fn listening(&self) {
        let address = (self.ip, 8780);
        wait_for("the agent to listen", || async move { tokio::net::TcpStream::connect(address).await.ok() }).await;
    }

    /// Sends a signal to the agent and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap()
    }

    /// Starts the agent again and waits until it listens.
    pub(crate) async fn start_again(&mut self) {
        self.start();
        self.listening().await;
    }

    /// The process of its redis-server.
    pub(crate) fn redis(&self) -> Option<ProcessMark> {
        serde_json::from_str(&std::fs::read_to_string(self.directory.join("redis.pid")).ok()?).ok()
    }

    pub(crate) fn kill_redis(&self) -> ProcessMark {
        let mark = self.redis().expect("a redis-server runs");
        assert!(mark.is_alive());
        kill_process(Pid::from_raw(mark.pid).unwrap(), Signal::KILL).unwrap();
        mark
    }

    /// Stops its redis-server for a while, or has it go on.
    pub(crate) fn signal_redis(&self, signal: Signal) -> ProcessMark {
        let mark = self.redis().expect("a redis-server runs");
        kill_process(Pid::from_raw(mark.pid).unwrap(), signal).unwrap();
        mark
    }

    /// What redis-server knows of its cluster when it starts.
    pub(crate) fn nodes_conf(&self) -> PathBuf {
        self.directory.join("data/nodes.conf")
    }

    /// Whether that is what the agent has a copy of.
    pub(crate) fn has_copied(&self) -> bool {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let copy = read(self.directory.join("nodes.conf.copy"));
        copy.split_once('\n').is_some_and(|(_, copied)| copied == read(self.nodes_conf()))
    }

    /// What the agent keeps of its node.
    pub(crate) fn state(&self) -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(self.directory.join("state.json")).unwrap()).unwrap()
    }

    /// Ends the agent and starts it with another reason in its state why tenants are shut out, as if it had been killed
    /// after it had written that down.
    pub(crate) async fn restart_shut(&mut self, shut: serde_json::Value) {
        self.end(Signal::KILL);
        let mut state = self.state();
        state["shut"] = shut;
        std::fs::write(self.directory.join("state.json"), state.to_string()).unwrap();
        self.start_again().await;
    }

    /// redis-cli as a tenant.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        output(self.redis_cli().args(words).stdin(Stdio::null()))
    }

    /// Whether tenants are shut out: a question is refused, or its connection is ended, which an agent does that starts.
    pub(crate) fn is_shut(&self) -> bool {
        let answer = self.cli(&["get", "k"]);
        ["NOAUTH", "closed the connection", "reset by peer"].iter().any(|words| answer.contains(words))
    }

    /// redis-cli as the agent.
    pub(crate) fn own_cli(&self, words: &[&str]) -> String {
        let password = std::fs::read_to_string(self.directory.join("agent.password")).unwrap();
        let mut command = self.redis_cli();
        output(command.env("REDISCLI_AUTH", password).args(["--user", "redtrove-agent"]).args(words))
    }

    /// redis-cli, told whom to talk to.
    pub(crate) fn redis_cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.args(["-h", &self.ip.to_string()]);
        command
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.within.take());
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(mark) = self.redis().filter(ProcessMark::is_alive) {
            let _ = kill_process(Pid::from_raw(mark.pid).unwrap(), Signal::KILL);
        }
        if std::thread::panicking() {
            println!("log of agent {}:\n{}", self.ip, std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// A client that sends a generation with what changes.
pub(crate) struct Client(pub(crate) GuestAgentClient<Channel>);

/// A request with this generation.
pub(crate) fn at<T>(generation: i64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    metadata::write(request.metadata_mut(), Generation::new(generation), None);
    request
}

pub(crate) fn prepare_request(agent: &Agent) -> v1::PrepareRequest {
    v1::PrepareRequest {
        engine: "redis".into(),
        cluster_id: CLUSTER.into(),
        instance_id: agent.instance.clone(),
        ram_mb: 64,
        volume_gb: 1,
        settings: [("appendfsync".to_owned(), "always".to_owned())].into(),
    }
}

impl Client {
    pub(crate) async fn prepare(&mut self, agent: &Agent) {
        self.0.prepare(at(1, prepare_request(agent))).await.unwrap();
    }

    pub(crate) async fn topology(&mut self) -> v1::GetTopologyResponse {
        self.0.get_topology(v1::GetTopologyRequest {}).await.unwrap().into_inner()
    }

    /// The same where others look at the same time.
    pub(crate) async fn clone_topology(&self) -> v1::GetTopologyResponse {
        Client(self.0.clone()).topology().await
    }

    pub(crate) async fn status(&mut self) -> v1::GetStatusResponse {
        self.0.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn add_slots(&mut self, first: u32, last: u32, epoch: u64) -> Result<(), Status> {
        let request = v1::ClusterAddslotsRequest {
            first_slot: first,
            last_slot: last,
            config_epoch: Some(epoch),
            forming_node_timeout_ms: Some(500),
            expected_node_id: None,
        };
        self.0.cluster_addslots(at(1, request)).await.map(drop)
    }

    pub(crate) async fn complete(&mut self) {
        self.0.cluster_complete(at(1, v1::ClusterCompleteRequest {})).await.unwrap();
    }

    pub(crate) async fn close(&mut self, node: &str) -> Result<(), Status> {
        let request = v1::CloseToTenantsRequest { expected_node_id: node.to_owned() };
        self.0.close_to_tenants(at(1, request)).await.map(drop)
    }

    pub(crate) async fn reopen(&mut self, node: &str) -> Result<(), Status> {
        let request = v1::ReopenToTenantsRequest { expected_node_id: node.to_owned() };
        self.0.reopen_to_tenants(at(1, request)).await.map(drop)
    }

    pub(crate) async fn leave(&mut self, node: &str) -> Result<(), Status> {
        let request = v1::LeaveClusterRequest { expected_node_id: node.to_owned() };
        self.0.leave_cluster(at(1, request)).await.map(drop)
    }

    /// A node alone in a cluster of its own, open to tenants.
    pub(crate) async fn form_alone(&mut self, agent: &Agent) {
        self.prepare(agent).await;
        self.add_slots(0, 16_383, 1).await.unwrap();
        self.complete().await;
    }

    pub(crate) async fn wait_state(&mut self, state: v1::RedisState) -> v1::GetStatusResponse {
        let started = Instant::now();
        loop {
            let status = self.status().await;
            if status.state() == state {
                return status;
            }
            assert!(started.elapsed() < LIMIT, "waited in vain for {state:?}: {status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The code and message of a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}
