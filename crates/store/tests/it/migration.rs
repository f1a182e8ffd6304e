//! From an older schema to the current one, with rows in it.

use std::str::FromStr;
use std::time::Duration;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::placement::Placement;
use redtrove_core::{ClusterId, InstanceId, ProjectId, RequestId};
use redtrove_engine::Store;
use redtrove_engine::ports::{Growth, Joiner, Limits, NewTask};
use redtrove_engine::task::{TaskKind, TaskState};
use redtrove_store::{SchemaState, connect, migrate, schema_state};
use redtrove_testkit::mariadb::MariaDb;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, MySqlConnection, SqlSafeStr, SqliteConnection};

use crate::newest;

/// A cluster that is ready and one that is being built, as the first release wrote them.
const FIRST_ROWS: &str = "
INSERT INTO datastores (id, name) VALUES ('00000000-0000-4000-8000-0000000000d1', 'redis');
INSERT INTO datastore_versions (id, datastore_id, name, engine, active, is_default, settings) VALUES
    ('00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-0000000000d1', '7.0', 'redis', 1, 1, '{}');
INSERT INTO clusters
    (id, project_id, name, task, operation, version_id, fault, lease_token, created, updated, deleted) VALUES
    ('00000000-0000-4000-8000-0000000000c1', 'project-a', 'orders', 'NONE', NULL,
        '00000000-0000-4000-8000-0000000000e1', 'No more machines.', 7, 1000, 2000, 0),
    ('00000000-0000-4000-8000-0000000000c2', 'project-a', 'carts', 'BUILDING', '01900000-0000-7000-8000-000000000002',
        '00000000-0000-4000-8000-0000000000e1', NULL, 0, 1000, 1000, 0);
INSERT INTO instances
    (id, cluster_id, name, number, flavor_id, ram_mb, volume_gb, lifecycle, ip, node_id, first_slot, last_slot, redis,
    held_failed, created, updated) VALUES
    ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000c1', 'orders-member-1', 1, '7', 512, 2,
        'complete', '127.20.0.2', '00000000000000000000000000000000000000f1', 0, 8191, 'running', 0, 1000, 2000),
    ('00000000-0000-4000-8000-0000000000a2', '00000000-0000-4000-8000-0000000000c1', 'orders-member-2', 2, '7', 512, 2,
        'deleted', '127.20.0.3', '00000000000000000000000000000000000000f2', 8192, 16383, 'running', 0, 1000, 2000);
INSERT INTO tasks
    (id, cluster_id, kind, state, step, progress, attempt, not_before, deadline, lease_token, request_id, created,
    started, ended) VALUES
    ('01900000-0000-7000-8000-000000000001', '00000000-0000-4000-8000-0000000000c1', 'create_cluster', 'succeeded',
        'complete', 'all', 3, 1000, 9000, 7, 'req-00000000-0000-4000-8000-0000000000b1', 1000, 1100, 2000),
    ('01900000-0000-7000-8000-000000000002', '00000000-0000-4000-8000-0000000000c2', 'create_cluster', 'pending',
        NULL, NULL, 0, 1000, 9000, 0, 'req-00000000-0000-4000-8000-0000000000b2', 1000, NULL, NULL);
INSERT INTO quota_usages (project_id, resource, in_use) VALUES
    ('project-a', 'instances', 1), ('project-a', 'volumes', 2);
";

/// The migrations of the first release.
fn first(sql: &'static str) -> Migrator {
    let name = "0001_first".into();
    let mut migrator =
        Migrator::with_migrations(vec![Migration::new(1, name, MigrationType::Simple, sql.into_sql_str(), false)]);
    migrator.set_locking(false);
    migrator
}

fn id<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", dir.path().join("redtrove.db").display());
    let options = SqliteConnectOptions::from_str(&address).unwrap().create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let schema = first(include_str!("../../schema/sqlite/0001_first.sql"));
    schema.run_direct(None, &mut connection, false).await.unwrap();
    sqlx::raw_sql(FIRST_ROWS).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    goes_on(&address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let server = MariaDb::start(dir.path()).unwrap();
    let address = server.database("old").unwrap();
    let mut connection = MySqlConnection::connect(&address).await.unwrap();
    let schema = first(include_str!("../../schema/mariadb/0001_first.sql"));
    schema.run_direct(None, &mut connection, false).await.unwrap();
    sqlx::raw_sql(FIRST_ROWS).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    goes_on(&address).await;
}

/// A database of the first release is refused, migrated, and worked with.
async fn goes_on(address: &str) {
    assert_eq!(schema_state(address).await.unwrap(), SchemaState::Old { found: 1, wanted: newest() });
    let error = connect(address).await.err().unwrap();
    assert!(error.to_string().contains("redtrove-taskmanager db migrate"), "{error}");
    migrate(address).await.unwrap();
    assert_eq!(schema_state(address).await.unwrap(), SchemaState::Current(newest()));
    let store = connect(address).await.unwrap();

    let (ready, built): (ClusterId, ClusterId) =
        (id("00000000-0000-4000-8000-0000000000c1"), id("00000000-0000-4000-8000-0000000000c2"));
    let (cluster, instances) = store.cluster(ready).await.unwrap().unwrap();
    assert_eq!((cluster.name.as_str(), cluster.fault.as_deref()), ("orders", Some("No more machines.")));
    assert_eq!(instances.iter().map(|instance| instance.number).collect::<Vec<_>>(), [1]);
    let deleted: InstanceId = id("00000000-0000-4000-8000-0000000000a2");
    assert_eq!(store.deleted_among(&[deleted, instances[0].id]).await.unwrap(), [deleted].into());
    assert!(store.removed_nodes(None).await.unwrap().is_empty());

    let tasks = store.tasks(None, 10).await.unwrap();
    assert_eq!(tasks.iter().map(|task| task.state).collect::<Vec<_>>(), [TaskState::Pending, TaskState::Succeeded]);
    assert!(tasks.iter().all(|task| task.members.is_empty() && task.verdict.is_none()), "{tasks:?}");
    let claimed = store.claim(tasks[0].id, "tm-1", Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!((claimed.lease.cluster, claimed.lease.token), (built, 1));
    grows_on(&*store, ready).await;
}

async fn grows_on(store: &dyn Store, cluster: ClusterId) {
    let joiner: InstanceId = id("00000000-0000-4000-8000-0000000000a3");
    let task = NewTask {
        id: id("01900000-0000-7000-8000-000000000003"),
        kind: TaskKind::GrowCluster,
        request: id::<RequestId>("req-00000000-0000-4000-8000-0000000000b3"),
        traceparent: None,
        time_limit: Duration::from_secs(60),
        members: vec![joiner],
        verdict_within: None,
    };
    let growth = Growth {
        cluster,
        project: id::<ProjectId>("project-a"),
        joiners: vec![Joiner {
            id: joiner,
            flavor_id: "7".to_owned(),
            ram_mb: 512,
            volume_gb: 2,
            placement: Placement::default(),
        }],
        task,
        limits: Limits { instances: 2, volumes_gb: 4 },
        answer: None,
    };
    let (grown, joiners) = store.grow_cluster(&growth).await.unwrap();
    assert_eq!((grown.task, joiners[0].name.as_str()), (ClusterTask::GrowingCluster, "orders-member-3"));
}
