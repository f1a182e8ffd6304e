//! MariaDB under fire: connections that are cut around a COMMIT, killed, or answer nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redtrove_core::{ClusterId, TaskId};
use redtrove_engine::ports::{Lease, StoreError};
use redtrove_store::connect;
use redtrove_store::contract::{Bed, Case, cases, hammer};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::proxy::{Cut, Proxy};
use crate::server::Server;

/// What cases are about that want to hear what nobody knows any more after an answer was lost, and why that does no harm.
const WANT_TO_HEAR: [(&str, &str); 1] =
    [("the_leases_of_an_owner_expire_together", "how many leases a daemon's start let run out is a line of its log")];

/// Cases in which several write at the same time: one of them may be cut three times in a row, which is one time more
/// than a transaction is run again. These have the hammer.
const RACES: [&str; 5] = ["racing", "at_once", "in_the_way", "flavors_are_replaced", "told_once_or_shown"];

/// Where a database's server listens.
pub(crate) fn server_of(address: &str) -> SocketAddr {
    address.split_once('@').unwrap().1.split_once('/').unwrap().0.parse().unwrap()
}

/// Every case, but that each second COMMIT is cut.
async fn keeps_the_contract(cut: Cut) {
    let server = Server::start();
    let (mut failed, mut commits) = (Vec::new(), 0);
    let left_out = |case: &Case| {
        let wants = WANT_TO_HEAR.iter().any(|(words, _)| cut == Cut::After && case.name.contains(words));
        wants || RACES.iter().any(|words| case.name.contains(words))
    };
    let cases: Vec<Case> = cases().into_iter().filter(|case| !left_out(case)).collect();
    for (part, some) in cases.chunks(4).enumerate() {
        let (mut running, mut names, mut proxies) = (JoinSet::new(), HashMap::new(), Vec::new());
        for (number, case) in some.iter().copied().enumerate() {
            let address = server.migrated(&format!("case_{part}_{number}")).await;
            let proxy = Proxy::start(server_of(&address), cut).await;
            let through = proxy.through(&address);
            proxies.push(proxy);
            let handle = running.spawn(async move {
                let (store, second) = (connect(&through).await.unwrap(), connect(&through).await.unwrap());
                (case.run)(Bed::new(store, second).await).await;
            });
            names.insert(handle.id(), case.name);
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                failed.push(format!("{}: {error}", names[&error.id()]));
            }
        }
        commits += proxies.iter().map(Proxy::commits).sum::<u64>();
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(commits > 300, "{commits} COMMITs came by");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_out() {
    keeps_the_contract(Cut::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_does_not_arrive_is_made_up_for() {
    keeps_the_contract(Cut::Before).await;
}

/// Sixteen workers on a few clusters, while connections are killed all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_leave_nothing_half_done() {
    let server = Server::start();
    let (mut round, mut killed) = (0, 0);
    // How long the work takes, and so how many are killed, depends on the machine.
    while killed <= 20 {
        round += 1;
        assert!(round <= 5, "only {killed} connections were killed in five rounds");
        killed += kill_while_hammered(&server.migrated(&format!("hammered_{round}")).await).await;
    }
}

/// How many connections were killed during the work of sixteen.
async fn kill_while_hammered(address: &str) -> u32 {
    let (store, second) = (connect(address).await.unwrap(), connect(address).await.unwrap());
    let bed = Bed::new(store, second).await;
    let mut hammered = JoinSet::new();
    hammered.spawn(hammer::under_fire(bed));
    let mut connection = MySqlConnection::connect(address).await.unwrap();
    let mut killed = 0;
    while hammered.try_join_next().transpose().unwrap().is_none() {
        let others = "SELECT CAST(ID AS SIGNED) FROM information_schema.PROCESSLIST \
                      WHERE ID <> CONNECTION_ID() AND DB = DATABASE() ORDER BY RAND() LIMIT 1";
        let victim: Option<i64> = sqlx::query_scalar(others).fetch_optional(&mut connection).await.unwrap();
        if let Some(victim) = victim {
            // One that has ended by now is no victim.
            let kill = sqlx::raw_sql(AssertSqlSafe(format!("KILL {victim}"))).execute(&mut connection).await;
            killed += u32::from(kill.is_ok());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed
}

/// A server that takes connections and answers nothing: everything that is asked is given up in time, and asked again
/// when it answers, with as many connections as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_given_up_in_time_and_used_again() {
    let server = Server::start();
    let address = server.migrated("frozen").await;
    let store = connect(&address).await.unwrap();
    let many = || {
        let mut asked = JoinSet::new();
        for n in 0..40 {
            let store = store.clone();
            asked.spawn(async move {
                match n % 2 {
                    0 => store.now().await.map(drop),
                    _ => store.take_monitor("tm-1", Duration::ZERO).await.map(drop),
                }
            });
        }
        asked
    };
    for answer in many().join_all().await {
        answer.unwrap();
    }
    let began = Instant::now();
    let under_way = many();
    server.process().signal(Signal::STOP).unwrap();
    // Some of these were answered before.
    under_way.join_all().await;
    for answer in many().join_all().await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    // Whoever waits may lose patience.
    let mut impatient = many();
    assert!(tokio::time::timeout(Duration::from_millis(300), impatient.join_next()).await.is_err());
    drop(impatient);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());

    server.process().signal(Signal::CONT).unwrap();
    let thawed = Instant::now();
    while store.now().await.is_err() {
        assert!(thawed.elapsed() < Duration::from_secs(40), "the server answers and the store does not ask");
    }
    for answer in many().join_all().await {
        answer.unwrap();
    }
    assert!(thawed.elapsed() < Duration::from_secs(40), "{:?}", thawed.elapsed());
}

/// Connections whose ROLLBACK is not answered are given up, and their places in the pool with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_is_not_answered_takes_no_connection_with_it() {
    let server = Server::start();
    let address = server.migrated("mute").await;
    let proxy = Proxy::mute(server_of(&address)).await;
    let store = connect(&proxy.through(&address)).await.unwrap();
    let (task, cluster) = (TaskId(Uuid::nil()), ClusterId(Uuid::nil()));
    let lost = Lease { task, cluster, token: 1 };
    for _ in 0..16 {
        // Its transaction is undone after the answer.
        assert!(matches!(store.renew(&lost, Duration::ZERO).await, Err(StoreError::LeaseLost)));
    }
    let began = Instant::now();
    while store.now().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "no connection is to be had any more");
    }
}
