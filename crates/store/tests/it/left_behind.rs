//! What no method of the store brings about, and another release, a mistake of ours or a hand in the database may.

use std::time::Duration;

use redtrove_core::{InstanceId, NodeId, Timestamp};
use redtrove_engine::ports::Amendment;
use redtrove_store::{connect, migrate};
use sqlx::{Connection, MySqlConnection, SqliteConnection};

use crate::migration::{FIRST_ROWS, id};
use crate::server::Server;

/// A deleted cluster left an instance behind, which owes for a removed node.
const LEFT_BEHIND: &str = "
UPDATE clusters SET deleted = 1, deleted_at = 3000 WHERE id = '00000000-0000-4000-8000-0000000000c1';
INSERT INTO removed_nodes (node_id, cluster_id, instance_id) VALUES
    ('00000000000000000000000000000000000000f2', '00000000-0000-4000-8000-0000000000c1',
        '00000000-0000-4000-8000-0000000000a2');
INSERT INTO forget_debts (node_id, instance_id) VALUES
    ('00000000000000000000000000000000000000f2', '00000000-0000-4000-8000-0000000000a1');
";

/// The same debt once more.
const OWED: &str = "
UPDATE removed_nodes SET paid = NULL;
INSERT INTO forget_debts (node_id, instance_id) VALUES
    ('00000000000000000000000000000000000000f2', '00000000-0000-4000-8000-0000000000a1');
";

/// A monitor of a release that writes when it looks, and after it one of a release that does not.
const OLD_MONITOR: &str =
    "INSERT INTO leases (name, owner, expires_at, taken_at) VALUES ('monitor', 'tm-old', 9000000000000, 1000)";

const OLD_MONITOR_ENDS: &str = "UPDATE leases SET expires_at = 2000 WHERE name = 'monitor'";

/// A look at what nobody wants that was the last one for eleven minutes, or one by a clock that was ahead.
const LONG_AGO: &str = "UPDATE leases SET taken_at = taken_at - 660000 WHERE name = 'orphans'; \
    UPDATE orphans SET first_seen = first_seen - 1320000";
const AHEAD: &str = "UPDATE leases SET taken_at = taken_at + 1320000 WHERE name = 'orphans'; \
    UPDATE orphans SET first_seen = first_seen - 660000";

async fn written(address: &str, sql: &'static str) {
    if address.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(address).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = MySqlConnection::connect(address).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
}

async fn is_put_right(address: &str) {
    migrate(address).await.unwrap();
    written(address, FIRST_ROWS).await;
    written(address, LEFT_BEHIND).await;
    let store = connect(address).await.unwrap();
    let instance: InstanceId = id("00000000-0000-4000-8000-0000000000a1");
    let node: NodeId = id("00000000000000000000000000000000000000f2");
    assert_eq!(store.left_behind().await.unwrap().iter().map(|left| left.id).collect::<Vec<_>>(), [instance]);
    assert!(store.amend(&Amendment::Bury { instance }).await.unwrap());
    assert!(store.left_behind().await.unwrap().is_empty());
    assert_eq!(store.usage_differences().await.unwrap(), [], "its share of the quota is free");
    assert!(store.usages(&id("project-a")).await.unwrap().iter().all(|usage| usage.in_use == 0));
    let removed = store.removed_nodes(None).await.unwrap();
    assert!(removed[0].debtors.is_empty() && removed[0].paid.is_some(), "it owes nothing: {removed:?}");
    assert!(!store.amend(&Amendment::Bury { instance }).await.unwrap());

    written(address, OWED).await;
    assert!(store.drop_removed_node(node, None).await.unwrap(), "nobody is left who could pay");
    assert!(store.removed_nodes(None).await.unwrap().is_empty());

    written(address, OLD_MONITOR).await;
    let expiry = Duration::from_mins(1);
    assert_eq!(store.watched().await.unwrap().ended(expiry), None, "it looks and does not say when");
    written(address, OLD_MONITOR_ENDS).await;
    assert_eq!(store.watched().await.unwrap().ended(expiry), Some(Timestamp(1000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_behind_in_sqlite_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    is_put_right(&format!("sqlite://{}", dir.path().join("redtrove.db").display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_behind_in_mariadb_is_put_right() {
    let server = Server::start();
    is_put_right(&server.database("left_behind")).await;
}

async fn time_without_a_look_does_not_count(address: &str) {
    migrate(address).await.unwrap();
    let store = connect(address).await.unwrap();
    let orphan: InstanceId = id("00000000-0000-4000-8000-0000000000a1");
    let age = async || {
        let seen = store.orphans().await.unwrap();
        store.now().await.unwrap().since(seen[0].first_seen)
    };
    store.put_orphans(&[orphan].into()).await.unwrap();
    for gap in [LONG_AGO, AHEAD] {
        written(address, gap).await;
        assert!(age().await < Duration::from_secs(60), "nobody was there to be warned");
        store.put_orphans(&[orphan].into()).await.unwrap();
        assert!(age().await < Duration::from_secs(60), "it is seen for the first time");
    }
    written(address, "UPDATE orphans SET first_seen = first_seen - 660000").await;
    store.put_orphans(&[orphan].into()).await.unwrap();
    assert!(age().await >= Duration::from_secs(660), "as long as somebody looks");
}

#[tokio::test]
async fn sqlite_counts_only_time_in_which_somebody_looked() {
    let directory = tempfile::tempdir().unwrap();
    time_without_a_look_does_not_count(&format!("sqlite://{}", directory.path().join("redtrove.db").display())).await;
}

#[tokio::test]
async fn mariadb_counts_only_time_in_which_somebody_looked() {
    let server = Server::start();
    time_without_a_look_does_not_count(&server.database("looks")).await;
}
