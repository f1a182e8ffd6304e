//! A control plane of one process: the real engine, store and guest client around a provider of the story's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::ids::{ClusterId, DatastoreId, DatastoreVersionId, InstanceId, ProjectId, RequestId, TaskId};
use redtrove_core::instance::Instance;
use redtrove_core::placement::Placement;
use redtrove_core::plan;
use redtrove_core::slots::divide;
use redtrove_core::status::{MemberFault, MemberStatus, member_status};
use redtrove_core::topology;
use redtrove_engine::ports::{Clock, Compute, Limits, NewCluster, NewInstance, NewTask, NewVersion};
use redtrove_engine::task::{StepRecord, TaskKind};
use redtrove_engine::{Engine, Options, World};
use redtrove_guest_rpc::client::{self, Client, Tls};
use redtrove_guest_rpc::role::Role;
use redtrove_taskmanager::SystemClock;
use redtrove_taskmanager::pki::Authority;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Guests that do not answer for this long are dead to this story.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Runs tasks and watches members until it is dropped.
pub(super) struct Control {
    world: World,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    runtime: Runtime,
}

impl Control {
    pub(super) fn start(dir: &Path, authority: &Authority, compute: Arc<dyn Compute>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clock = SystemClock;
        let issued = authority.issue_role(Role::Control, clock.now()).unwrap();
        let ca_pem = authority.ca_pem().to_owned();
        let tls = Tls { ca_pem, cert_pem: issued.cert_pem, key_pem: issued.key_pem };
        let options =
            client::Options { read_timeout: IMPATIENCE, connect_timeout: IMPATIENCE, ..client::Options::default() };
        let guests = Arc::new(Client::new(&tls, options).unwrap());
        let url = format!("sqlite://{}", dir.join("redtrove.db").display());
        let store = runtime.block_on(async {
            redtrove_store::migrate(&url).await.unwrap();
            redtrove_store::connect(&url).await.unwrap()
        });
        let world = World { store, compute, guests, clock: Arc::new(clock) };
        let stop = CancellationToken::new();
        let engine = Engine::new(world.clone(), engine_options(), stop.clone());
        let mut tasks = JoinSet::new();
        let sweeping = engine.clone();
        tasks.spawn_on(async move { sweeping.run_sweeper().await }, runtime.handle());
        tasks.spawn_on(async move { engine.run_monitor().await }, runtime.handle());
        Self { world, stop, tasks, runtime }
    }

    /// Asks for a cluster; returns it and its task.
    pub(super) fn submit(&self, members: usize) -> (ClusterId, TaskId) {
        let clock = &self.world.clock;
        let version_id = DatastoreVersionId(clock.random_id());
        let version = NewVersion {
            datastore: "redis".to_owned(),
            datastore_id: DatastoreId(clock.random_id()),
            version: "7.0".to_owned(),
            version_id,
            engine: topology::Engine::Redis,
            is_default: true,
            settings: BTreeMap::new(),
        };
        let instances = (1..).zip(divide(members).unwrap()).map(|(number, slots)| NewInstance {
            id: InstanceId(clock.random_id()),
            name: format!("far-member-{number}"),
            number,
            flavor_id: "1".to_owned(),
            ram_mb: 256,
            volume_gb: 1,
            placement: Placement::default(),
            planned_slots: Some(slots),
        });
        let task = NewTask {
            id: TaskId(clock.ordered_id()),
            kind: TaskKind::CreateCluster,
            request: RequestId::new(clock.random_id()),
            traceparent: None,
            time_limit: Duration::from_secs(60),
            members: Vec::new(),
            verdict_within: None,
        };
        let cluster = NewCluster {
            id: ClusterId(clock.random_id()),
            project: "p".parse::<ProjectId>().unwrap(),
            name: "far".to_owned(),
            version: version_id,
            locality: None,
            created: self.runtime.block_on(self.world.store.now()).unwrap(),
            instances: instances.collect(),
            task,
            limits: Limits { instances: -1, volumes_gb: -1 },
            answer: None,
        };
        self.runtime.block_on(async {
            self.world.store.add_version(&version).await.unwrap();
            self.world.store.create_cluster(&cluster).await.unwrap();
        });
        (cluster.id, cluster.task.id)
    }

    /// The members with their statuses and faults, in member order; fails if the cluster has a fault.
    pub(super) fn members(&self, id: ClusterId) -> Vec<(Instance, MemberStatus, Option<MemberFault>)> {
        self.runtime.block_on(async {
            let (cluster, instances) = self.world.store.cluster(id).await.unwrap().expect("the cluster is there");
            assert_eq!(cluster.fault, None);
            let now = self.world.store.now().await.unwrap();
            let with_status = |instance: Instance| {
                let (status, fault) = member_status(&instance, now, IMPATIENCE, None);
                (instance, status, fault)
            };
            instances.into_iter().map(with_status).collect()
        })
    }

    /// How many slots the cluster is known to serve.
    pub(super) fn slots_served(&self, id: ClusterId) -> Option<u32> {
        let (cluster, _) = self.runtime.block_on(self.world.store.cluster(id)).unwrap().expect("the cluster is there");
        cluster.slots_served
    }

    pub(super) fn steps(&self, task: TaskId) -> Vec<StepRecord> {
        self.runtime.block_on(self.world.store.steps(task)).unwrap()
    }

    /// Stops and waits for everything that runs.
    pub(super) fn end(self) {
        self.stop.cancel();
        self.runtime.block_on(self.tasks.join_all());
    }
}

fn engine_options() -> Options {
    Options {
        owner: "story".to_owned(),
        lease: Duration::from_secs(10),
        max_running: 4,
        limits: plan::Limits { guests_ready: Duration::from_secs(30), min_uptime: Duration::ZERO },
        look_within: Duration::from_secs(5),
        sweep_every: Duration::from_millis(100),
        orphans_every: Duration::from_secs(600),
        deleted_machine_grace: Duration::from_secs(1),
        unknown_machine_grace: None,
        heartbeat: Duration::from_millis(300),
    }
}
