//! SQLite: the contract, each case on a file of its own, and what only files have.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use redtrove_engine::ports::StoreError;
use redtrove_store::contract::{Bed, cases};
use redtrove_store::{ConnectError, SchemaState, connect, migrate, schema_state};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

use crate::newest;

fn address(dir: &Path) -> String {
    format!("sqlite://{}", dir.join("redtrove.db").display())
}

async fn keeps(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    migrate(&address).await.unwrap();
    let (store, second) = (connect(&address).await.unwrap(), connect(&address).await.unwrap());
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    (case.run)(Bed::new(store, second).await).await;
}

macro_rules! tests {
    ($($topic:ident::$case:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            keeps(concat!(stringify!($topic), "::", stringify!($case))).await;
        })+
    };
}
redtrove_store::for_each_case!(tests);

#[tokio::test]
async fn a_daemon_refuses_a_database_without_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Absent);
    let error = connect(&address).await.err().unwrap();
    assert!(error.to_string().contains("redtrove-taskmanager db migrate"), "{error}");
    assert!(!dir.path().join("redtrove.db").exists(), "a daemon makes no file");
    migrate(&address).await.unwrap();
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Current(newest()));
    connect(&address).await.unwrap();
}

#[tokio::test]
async fn a_daemon_refuses_a_schema_of_another_version() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    migrate(&address).await.unwrap();
    let pool = sqlx::SqlitePool::connect(&address).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES ";
    let expanded = AssertSqlSafe(format!("{newer} (98, '0098_more', 1, x'00', 0)"));
    sqlx::query(expanded).execute(&pool).await.unwrap();
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Expanded { found: 98, wanted: newest() });
    connect(&address).await.unwrap();
    assert!(migrate(&address).await.is_err(), "an old program leaves a new schema alone");
    let contracted = AssertSqlSafe(format!("{newer} (99, '0099_contract_less', 1, x'00', 0)"));
    sqlx::query(contracted).execute(&pool).await.unwrap();
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::New { found: 99, wanted: newest() });
    let error = connect(&address).await.err().unwrap();
    assert!(matches!(error, ConnectError::Schema(_)) && error.to_string().contains("99"), "{error}");
    assert!(migrate(&address).await.is_err(), "an old program leaves a new schema alone");
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version > 2").execute(&pool).await.unwrap();
    let error = connect(&address).await.err().unwrap();
    assert!(error.to_string().contains("redtrove-taskmanager db migrate"), "{error}");
    sqlx::query("UPDATE _sqlx_migrations SET success = 0").execute(&pool).await.unwrap();
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Broken { at: 1 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_at_the_same_time_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut race = JoinSet::new();
    for _ in 0..6 {
        let address = address(dir.path());
        race.spawn(async move { migrate(&address).await });
    }
    for result in race.join_all().await {
        result.unwrap();
    }
    assert_eq!(schema_state(&address(dir.path())).await.unwrap(), SchemaState::Current(newest()));
}

#[tokio::test]
async fn only_the_daemons_user_may_read_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    migrate(&address).await.unwrap();
    let store = connect(&address).await.unwrap();
    store.take_monitor("tm-1", Duration::ZERO).await.unwrap();
    let files: Vec<_> = dir.path().read_dir().unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.len() >= 2, "the database and its log");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_refused_without_repeating_it() {
    for address in ["", "postgres://u:s3cret@h/db", "sqlite::memory:", "mysql://u:s3cret@h:port/db", "/tmp/x.db"] {
        let error = connect(address).await.err().unwrap();
        assert!(matches!(error, ConnectError::Address(_)), "{address}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
    }
    let error = migrate("sqlite:///nowhere/at/all.db").await.unwrap_err();
    assert!(matches!(error, ConnectError::File { .. }), "{error:?}");
}

#[tokio::test]
async fn a_row_that_nobody_wrote_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    migrate(&address).await.unwrap();
    let store = connect(&address).await.unwrap();
    let pool = sqlx::SqlitePool::connect(&address).await.unwrap();
    for (row, wanted) in
        [("('not-an-id', 'redis')", "d_id"), ("('416b0b16-ba55-4302-bbd3-ff566032e1c1', x'ff')", "d_name")]
    {
        let insert = format!("INSERT INTO datastores (id, name) VALUES {row}");
        sqlx::query(AssertSqlSafe(insert)).execute(&pool).await.unwrap();
        let error = store.datastores().await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { what, .. } if *what == wanted), "{error}");
        sqlx::query("DELETE FROM datastores").execute(&pool).await.unwrap();
    }
}
