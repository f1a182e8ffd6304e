//! MariaDB: the contract, each case in a database of its own, and what only a server has.

use std::time::{Duration, Instant};

use redtrove_store::contract::{Bed, cases};
use redtrove_store::{ConnectError, SchemaState, connect, migrate, schema_state};
use sqlx::Connection;
use tokio::task::JoinSet;

use crate::newest;
use crate::server::Server;

/// How often everything is written at the same time: a lock taken out of order shows in most rounds.
const ROUNDS: usize = 4;

/// One server for all of it, as its start takes longer than every case: the cases side by side, by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_the_contract() {
    let server = Server::start();
    let mut failed = Vec::new();
    // A few at a time: each has the connections of two pools.
    for (part, some) in cases().chunks(4).enumerate() {
        let mut running = JoinSet::new();
        let mut names = std::collections::HashMap::new();
        for (number, case) in some.iter().copied().enumerate() {
            let address = server.database(&format!("case_{part}_{number}"));
            let handle = running.spawn(async move {
                migrate(&address).await.unwrap();
                let (store, second) = (connect(&address).await.unwrap(), connect(&address).await.unwrap());
                (case.run)(Bed::new(store, second).await).await;
            });
            names.insert(handle.id(), case.name);
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                failed.push(format!("{}: {error}", names[&error.id()]));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A deadlock is run again and so is not seen by who waits; but it costs both of them time, and the order of locks is
/// there to prevent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_at_the_same_time_does_not_deadlock() {
    let server = Server::start();
    let case = cases().into_iter().find(|case| case.name == "debts::nobody_is_in_the_way_of_another").unwrap();
    let mut address = String::new();
    for round in 0..ROUNDS {
        address = server.migrated(&format!("round_{round}")).await;
        let (store, second) = (connect(&address).await.unwrap(), connect(&address).await.unwrap());
        (case.run)(Bed::new(store, second).await).await;
    }
    let mut connection = sqlx::MySqlConnection::connect(&address).await.unwrap();
    let deadlocks = "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.GLOBAL_STATUS \
                     WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS'";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&mut connection).await.unwrap();
    assert_eq!(deadlocks, 0);
}

/// Whoever is in the way of a transaction for seconds is likely to stay there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_not_to_be_had_is_waited_for_once() {
    let server = Server::start();
    let address = server.migrated("locked").await;
    let store = connect(&address).await.unwrap();
    assert!(store.take_monitor("tm-1", Duration::ZERO).await.unwrap());
    let mut holder = sqlx::MySqlConnection::connect(&address).await.unwrap();
    let held = "START TRANSACTION; UPDATE leases SET owner = 'somebody'";
    sqlx::raw_sql(held).execute(&mut holder).await.unwrap();
    let began = Instant::now();
    let error = store.take_monitor("tm-1", Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, redtrove_engine::ports::StoreError::Unavailable(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    assert!(store.take_monitor("tm-1", Duration::ZERO).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_migrated_by_one_at_a_time() {
    let server = Server::start();
    let address = server.database("migrated");
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Absent);
    let error = connect(&address).await.err().unwrap();
    assert!(error.to_string().contains("redtrove-taskmanager db migrate"), "{error}");
    let mut race = JoinSet::new();
    for _ in 0..6 {
        let address = address.clone();
        race.spawn(async move { migrate(&address).await });
    }
    for result in race.join_all().await {
        result.unwrap();
    }
    assert_eq!(schema_state(&address).await.unwrap(), SchemaState::Current(newest()));
    let store = connect(&address).await.unwrap();
    assert!(store.take_monitor("tm-1", Duration::ZERO).await.unwrap());
    server.process().kill().unwrap();
    let began = Instant::now();
    let error = store.now().await.unwrap_err();
    assert!(matches!(error, redtrove_engine::ports::StoreError::Unavailable(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
    let error = connect(&address).await.err().unwrap();
    assert!(matches!(error, ConnectError::Database(_)), "{error:?}");
    assert!(!format!("{error:?}").contains(address.split([':', '@']).nth(2).unwrap()), "no password in errors");
}
