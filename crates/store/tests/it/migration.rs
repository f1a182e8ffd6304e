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
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, MySqlConnection, Row, SqlSafeStr, SqliteConnection};
use tokio::task::JoinSet;

use crate::newest;
use crate::server::Server;

/// A cluster that is ready and one that is being built, as the first release wrote them.
pub(crate) const FIRST_ROWS: &str = "
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

/// What else the first release wrote, as it wrote it.
const FIRST_STATEMENTS: [&str; 6] = [
    "INSERT INTO task_steps (task_id, seq, name, subject, started) \
     VALUES ('01900000-0000-7000-8000-000000000002', 1, 'verify', NULL, 1000)",
    "UPDATE tasks SET state = 'running', attempt = attempt + 1, lease_owner = 'tm-1', lease_token = 1, \
     lease_expires_at = 9000, started = COALESCE(started, 1000) WHERE id = '01900000-0000-7000-8000-000000000002'",
    "UPDATE tasks SET state = 'succeeded', fault = NULL, ended = 2000, lease_owner = NULL, lease_expires_at = NULL \
     WHERE id = '01900000-0000-7000-8000-000000000002' AND lease_token = 1 AND state = 'running'",
    "UPDATE clusters SET task = 'NONE', operation = NULL, updated = 2000, deleted = 0, deleted_at = NULL \
     WHERE operation = '01900000-0000-7000-8000-000000000002'",
    "UPDATE instances SET lifecycle = 'deleted', deleted_at = 3000, updated = 3000 WHERE lifecycle <> 'deleted'",
    "INSERT INTO leases (name, owner, expires_at) VALUES ('monitor', 'tm-1', 9000)",
];

/// The migrations of the first release.
fn first(sql: &'static str) -> Migrator {
    let name = "0001_first".into();
    let mut migrator =
        Migrator::with_migrations(vec![Migration::new(1, name, MigrationType::Simple, sql.into_sql_str(), false)]);
    migrator.set_locking(false);
    migrator
}

pub(crate) fn id<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
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
    let server = Server::start();
    let address = server.database("old");
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

/// The statements of the release before run on the schema of this one: its daemons go on through an upgrade.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_releases_statements_run_on_the_newest_schema() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("sqlite://{}", dir.path().join("redtrove.db").display());
    migrate(&address).await.unwrap();
    let options = SqliteConnectOptions::from_str(&address).unwrap();
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(FIRST_ROWS).execute(&mut connection).await.unwrap();
    for sql in FIRST_STATEMENTS {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }

    let server = Server::start();
    let address = server.migrated("newest").await;
    let mut connection = MySqlConnection::connect(&address).await.unwrap();
    sqlx::raw_sql(FIRST_ROWS).execute(&mut connection).await.unwrap();
    for sql in FIRST_STATEMENTS {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
}

/// A migration may break off after each of its statements, with its row written: the next one goes on, to the same schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_broke_off_is_continued() {
    let server = Server::start();
    let whole = server.database("whole");
    migrate(&whole).await.unwrap();
    let wanted = tables(&whole).await;

    let sql = include_str!("../../schema/mariadb/0003_grow_and_shrink.sql");
    let statements: Vec<&str> = sql.split_inclusive(";\n").collect();
    assert_eq!(statements.len(), 5);
    for broken_after in 0..=statements.len() {
        let address = server.migrated(&format!("broken_{broken_after}")).await;
        let mut connection = MySqlConnection::connect(&address).await.unwrap();
        let undo = "DROP TABLE forget_debts, removed_nodes; \
                    ALTER TABLE tasks DROP COLUMN params, DROP COLUMN verdict, DROP COLUMN verdict_by; \
                    UPDATE _sqlx_migrations SET success = FALSE WHERE version = 3";
        sqlx::raw_sql(undo).execute(&mut connection).await.unwrap();
        for statement in &statements[..broken_after] {
            sqlx::raw_sql(*statement).execute(&mut connection).await.unwrap();
        }
        assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Broken { at: 3 });
        let error = connect(&address).await.err().unwrap();
        assert!(error.to_string().contains("`redtrove-taskmanager db migrate`, which goes on"), "{error}");
        migrate(&address).await.unwrap();
        assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Current(newest()));
        assert_eq!(tables(&address).await, wanted, "broken after {broken_after} statements");
        connect(&address).await.unwrap();
    }

    let address = server.migrated("strange").await;
    let mut connection = MySqlConnection::connect(&address).await.unwrap();
    let strange = "UPDATE _sqlx_migrations SET success = FALSE, checksum = 'x' WHERE version = 3";
    sqlx::raw_sql(strange).execute(&mut connection).await.unwrap();
    let error = migrate(&address).await.unwrap_err();
    assert!(error.to_string().contains("is another release's"), "{error}");
}

/// Who dies in the middle of a migration, with a statement under way, lets the next one in and does not spoil its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_migration_gives_its_lock_to_the_next() {
    let server = Server::start();
    let address = server.database("locked");
    let mut connection = MySqlConnection::connect(&address).await.unwrap();
    let schema = first(include_str!("../../schema/mariadb/0001_first.sql"));
    schema.run_direct(None, &mut connection, false).await.unwrap();
    // What a long query of somebody else does: the ALTER TABLE waits for it.
    let mut reader = MySqlConnection::connect(&address).await.unwrap();
    sqlx::raw_sql("START TRANSACTION; SELECT * FROM clusters").execute(&mut reader).await.unwrap();
    let mut migrations = JoinSet::new();
    let migration = |migrations: &mut JoinSet<_>| {
        let address = address.clone();
        migrations.spawn(async move { migrate(&address).await })
    };
    let doomed = migration(&mut migrations);
    let waits =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = 'locked' AND STATE LIKE 'Waiting for%lock%'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut connection).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    doomed.abort();
    assert!(migrations.join_next().await.unwrap().is_err());
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Broken { at: 2 });

    migration(&mut migrations);
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    migrations.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Current(newest()));
}

/// Daemons may start while the next release migrates, and after it died of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_migration_under_way_keeps_nobody_from_starting_unless_it_takes_something_away() {
    let server = Server::start();
    let address = server.migrated("under_way").await;
    let mut connection = MySqlConnection::connect(&address).await.unwrap();
    let begun = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)                  VALUES (9000, '9000_more', FALSE, 'x', -1)";
    sqlx::raw_sql(begun).execute(&mut connection).await.unwrap();
    let expanded = SchemaState::Expanded { found: 9000, wanted: newest() };
    assert_eq!(schema_state(&address).await.unwrap(), expanded);
    connect(&address).await.unwrap().now().await.unwrap();
    let error = migrate(&address).await.unwrap_err();
    assert!(error.to_string().contains("is another release's"), "{error}");

    let contracts = "UPDATE _sqlx_migrations SET description = '9000_contract_more' WHERE version = 9000";
    sqlx::raw_sql(contracts).execute(&mut connection).await.unwrap();
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Broken { at: 9000 });
    assert!(connect(&address).await.is_err());
}

/// What every table looks like.
async fn tables(address: &str) -> Vec<String> {
    let mut connection = MySqlConnection::connect(address).await.unwrap();
    let names = "SELECT table_name FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name NOT LIKE '\\_%' ORDER BY table_name";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut connection).await.unwrap();
    let mut shown = Vec::new();
    for name in names {
        let show = sqlx::AssertSqlSafe(format!("SHOW CREATE TABLE {name}"));
        shown.push(sqlx::query(show).fetch_one(&mut connection).await.unwrap().get(1));
    }
    shown
}
