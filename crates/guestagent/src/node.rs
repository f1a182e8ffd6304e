//! One node: the agent's knowledge of it and of its redis-server, and everything that a call may do with it.

mod changes;
mod doors;
mod keeping;
mod leaving;
mod readings;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::instance::REDIS_PORT;
use redtrove_core::topology::{Engine, NodeView};
use redtrove_core::{Clock, InstanceId, NodeId};
use redtrove_guest_rpc::metadata::Generation;
use redtrove_service::{Shutdown, SystemClock};
use secrecy::SecretString;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::acl::{Tenants, users_acl};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::generation::Fence;
use crate::home::{DATA, Home, REDIS_CONF, REDIS_LOG, USERS_ACL};
use crate::nodes_file::NodesFile;
use crate::redis_conf::{Machine, redis_conf};
use crate::redis_server::{RedisServer, Supervisor};
use crate::state::{NodeState, Shut};

/// The file with the password of the agent's own user.
const PASSWORD: &str = "agent.password";

/// What a node is made of; from the agent's configuration.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The agent's own instance.
    pub instance: InstanceId,
    /// The address that redis-server binds to and announces.
    pub ip: IpAddr,
    /// The servers that can be run here, by name.
    pub engines: BTreeMap<Engine, PathBuf>,
    /// Who starts redis-server.
    pub supervisor: Supervisor,
}

/// What the agent knows of its node.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Absent before the node is prepared.
    state: Option<Arc<NodeState>>,
    /// When it opens to tenants by itself. Not the machine's clock, which may be set meanwhile.
    opens_at: Option<Instant>,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    identity: Identity,
    home: Arc<Home>,
    fence: Fence,
    nodes_file: Arc<NodesFile>,
    server: RedisServer,
    redis: Connection,
    known: watch::Sender<Known>,
    /// How long `CloseToTenants` closes the node.
    closing: Duration,
    /// The rules of the tenants' user on the running server may not be those of the state.
    unsettled: Notify,
    /// redis-server was told something that changes its nodes.conf.
    reshaped: Notify,
    /// Held by the one call that changes the node.
    turn: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
}

impl Node {
    /// Reads what the directory holds and, where the node is prepared, sees to its redis-server. `CloseToTenants` is to
    /// close it for `closing`.
    pub fn open(identity: Identity, home: Home, closing: Duration, shutdown: &Shutdown) -> Result<Arc<Self>, Failure> {
        let home = Arc::new(home);
        let state = NodeState::load(&home)?;
        let password = ensure_password(&home)?;
        let supervisor = identity.supervisor.clone();
        let stop = shutdown.token().clone();
        let nodes_file = Arc::new(NodesFile::open(Arc::clone(&home))?);
        let for_start = Arc::clone(&nodes_file);
        let node = Arc::new(Self {
            identity,
            fence: Fence::open(&home)?,
            nodes_file,
            server: RedisServer::supervise(Arc::clone(&home), for_start, supervisor, shutdown.tasks(), stop),
            redis: Connection::new(Arc::clone(&home), password),
            known: watch::Sender::default(),
            closing,
            unsettled: Notify::new(),
            reshaped: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            tasks: shutdown.tasks().clone(),
            home,
        });
        if let Some(state) = state {
            let state = node.resumed(state)?;
            match node.write_files(&state) {
                // Without space it runs with the files that there are; they are written when there is some.
                Err(error @ Failure::Unavailable(_)) if node.home.path(REDIS_CONF).exists() => {
                    tracing::warn!("redis-server's files are those of before: {error}");
                }
                written => written?,
            }
            node.server.want(node.binary(state.prepared.engine)?);
            node.set_state(Some(state));
            node.unsettled.notify_one();
        }
        let [settling, opening, keeping] = [(); 3].map(|()| (Arc::clone(&node), shutdown.token().clone()));
        node.tasks.spawn(async move { settling.1.run_until_cancelled(settling.0.settle_in_time()).await });
        node.tasks.spawn(async move { opening.1.run_until_cancelled(opening.0.open_in_time()).await });
        node.tasks.spawn(async move { keeping.1.run_until_cancelled(keeping.0.keep_nodes_conf()).await });
        Ok(node)
    }

    /// The agent's own instance.
    pub fn instance(&self) -> InstanceId {
        self.identity.instance
    }

    /// The servers that can be run here.
    pub fn engines(&self) -> &BTreeMap<Engine, PathBuf> {
        &self.identity.engines
    }

    /// Where clients reach redis-server: the address that it is bound to, and the port.
    pub fn address(&self) -> (IpAddr, u16) {
        (self.identity.ip, REDIS_PORT)
    }

    /// The node's state; absent before it is prepared.
    pub fn state(&self) -> Option<Arc<NodeState>> {
        self.known().state
    }

    fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    fn set_state(&self, state: Option<NodeState>) {
        let closed_for = state.as_ref().and_then(|state| state.closed_for(SystemClock.now(), self.closing));
        let opens_at = closed_for.map(|time| Instant::now() + time);
        self.known.send_replace(Known { state: state.map(Arc::new), opens_at });
    }

    /// Keeps a new state, on the disk first.
    async fn put(self: &Arc<Self>, state: NodeState) -> Result<(), Failure> {
        let saved = state.clone();
        self.with_home(move |node| saved.save(&node.home)).await?;
        self.set_state(Some(state));
        Ok(())
    }

    fn prepared(&self) -> Result<Arc<NodeState>, Failure> {
        self.state().ok_or_else(Failure::unprepared)
    }

    /// The state of a node that is in its cluster, or may still join one.
    fn member(&self) -> Result<Arc<NodeState>, Failure> {
        let state = self.prepared()?;
        match state.shut {
            Some(Shut::Leaving(id) | Shut::Left(id)) => {
                Err(Failure::WrongState(format!("the node leaves its cluster for ever, where it is {id}")))
            }
            Some(Shut::Until(_)) | None => Ok(state),
        }
    }

    /// The node's id, which is on the disk before anybody hears of it.
    async fn own_id(self: &Arc<Self>) -> Result<NodeId, Failure> {
        let own = self.redis.node_id().await?;
        self.tell(own).await?;
        Ok(own)
    }

    /// The node's view of its cluster, without what only the agent knows; its id is on the disk.
    async fn own_view(self: &Arc<Self>) -> Result<NodeView, Failure> {
        let view = self.redis.view().await?;
        self.tell(view.myself).await?;
        Ok(view)
    }

    /// Writes the id down that is about to be told. Another one is taken for the node's of a node that gives its own up.
    async fn tell(self: &Arc<Self>, id: NodeId) -> Result<(), Failure> {
        match self.nodes_file.told() {
            Some(told) if told == id || !self.leaves() => Ok(()),
            _ => self.with_home(move |node| node.nodes_file.record(id)).await,
        }
    }

    /// Whether the node has begun to leave its cluster for ever.
    fn leaves(&self) -> bool {
        self.state().is_some_and(|state| matches!(state.shut, Some(Shut::Leaving(_) | Shut::Left(_))))
    }

    /// Whether the node is `expected`: the one that was looked at must be the one that is changed.
    async fn expect(self: &Arc<Self>, expected: NodeId) -> Result<(), Failure> {
        let own = self.own_id().await?;
        if own == expected { Ok(()) } else { Err(Failure::another(own, expected)) }
    }

    /// Does `work` as the only change of this node, if `generation` is not late.
    ///
    /// It runs to its end even when the caller hangs up in the middle.
    pub async fn change<T, F, W>(self: &Arc<Self>, generation: Generation, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send,
        W: FnOnce(Arc<Self>) -> F + Send + 'static,
    {
        let node = Arc::clone(self);
        let job = async move {
            let _turn = node.turn.lock().await;
            // Only a new highest has to go to the disk.
            if node.fence.highest() != Some(generation) {
                node.with_home(move |node| node.fence.admit(&node.home, generation)).await?;
            }
            let done = work(Arc::clone(&node)).await;
            node.reshaped.notify_one();
            done
        };
        let done = self.tasks.spawn(job.in_current_span()).await;
        done.unwrap_or_else(|error| Err(Failure::Internal(format!("the call did not end: {error}"))))
    }

    /// Does something with the disk without holding up other calls.
    async fn with_home<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let node = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&node)).await;
        done.unwrap_or_else(|error| Err(Failure::Internal(format!("the call did not end: {error}"))))
    }

    fn binary(&self, engine: Engine) -> Result<PathBuf, Failure> {
        let missing = || Failure::Internal(format!("this agent has no {engine} any more"));
        self.identity.engines.get(&engine).cloned().ok_or_else(missing)
    }

    /// Writes what redis-server reads when it starts.
    fn write_files(&self, state: &NodeState) -> Result<(), Failure> {
        let settings = state.settings()?;
        let data = self.home.path(DATA);
        let log = format!("../{REDIS_LOG}");
        let machine = Machine {
            data: data.to_str().ok_or_else(|| Failure::Internal("the directory's path is not UTF-8".to_owned()))?,
            // The agent gives a server that it starts itself the log file for all its output.
            log: (self.identity.supervisor != Supervisor::Process).then_some(&log),
            ip: self.identity.ip,
            ram_mb: state.prepared.ram_mb,
        };
        let text = redis_conf(machine, &settings);
        self.home.write(REDIS_CONF, &text).map_err(|error| Failure::file(REDIS_CONF, &error))?;
        self.write_users(state.tenants())
    }

    /// Writes the users that redis-server has when it starts.
    fn write_users(&self, tenants: Tenants) -> Result<(), Failure> {
        let text = users_acl(self.redis.password(), tenants);
        self.home.write(USERS_ACL, &text).map_err(|error| Failure::file(USERS_ACL, &error))
    }
}

/// The password of the agent's user on redis-server, made when the directory is new.
fn ensure_password(home: &Home) -> Result<SecretString, Failure> {
    let failed = |error| Failure::file(PASSWORD, &error);
    if let Some(password) = home.read(PASSWORD).map_err(failed)?.filter(|text| !text.is_empty()) {
        return Ok(password.into());
    }
    // Two random ids are 244 random bits.
    let password = format!("{}{}", SystemClock.random_id().simple(), SystemClock.random_id().simple());
    home.write(PASSWORD, &password).map_err(failed)?;
    Ok(password.into())
}
