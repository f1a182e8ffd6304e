//! What is run once more because nobody knows whether it was carried out, while others go on.

use std::sync::Arc;
use std::time::Duration;

use redtrove_core::cluster::ClusterTask;
use redtrove_core::{ClusterId, ProjectId, RequestId, TaskId};
use redtrove_engine::Store;
use redtrove_engine::ports::{Amendment, DeleteSubmitted, Ending, NewTask, Outcome};
use redtrove_engine::task::TaskKind;
use redtrove_store::connect;
use sqlx::{Connection, MySqlConnection};
use tokio::task::JoinSet;

use crate::fire::server_of;
use crate::migration::{FIRST_ROWS, id};
use crate::proxy::{Cut, Proxy};
use crate::server::Server;

const READY: &str = "00000000-0000-4000-8000-0000000000c1";
const BUILT: &str = "00000000-0000-4000-8000-0000000000c2";
const BUILD: &str = "01900000-0000-7000-8000-000000000002";
const LONG: Duration = Duration::from_hours(1);

/// A database, a store whose connections are cut, and one of somebody else.
struct Line {
    proxy: Proxy,
    cut: Arc<dyn Store>,
    other: Arc<dyn Store>,
    address: String,
    _server: Server,
}

impl Line {
    async fn new(cuts: &'static [Cut]) -> Self {
        let server = Server::start();
        let address = server.migrated("twice").await;
        let mut connection = MySqlConnection::connect(&address).await.unwrap();
        sqlx::raw_sql(FIRST_ROWS).execute(&mut connection).await.unwrap();
        let proxy = Proxy::script(server_of(&address), cuts).await;
        let (cut, other) = (connect(&proxy.through(&address)).await.unwrap(), connect(&address).await.unwrap());
        Self { proxy, cut, other, address, _server: server }
    }

    /// Until the cluster is busy with this.
    async fn until(&self, cluster: ClusterId, task: ClusterTask) {
        while self.other.cluster(cluster).await.unwrap().unwrap().0.task != task {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn delete(task: &str) -> NewTask {
    NewTask {
        id: id(task),
        kind: TaskKind::DeleteCluster,
        request: id::<RequestId>("req-00000000-0000-4000-8000-0000000000b3"),
        traceparent: None,
        time_limit: LONG,
        members: Vec::new(),
        verdict_within: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_that_comes_again_ends_what_it_was_meant_for() {
    let line = Line::new(&[Cut::AfterAndHold]).await;
    let (project, cluster): (ProjectId, ClusterId) = (id("project-a"), id(BUILT));
    let store = Arc::clone(&line.cut);
    let mut reset = JoinSet::new();
    reset.spawn(async move { store.reset_cluster(&id("project-a"), cluster, None).await });
    line.until(cluster, ClusterTask::None).await;
    let next = delete("01900000-0000-7000-8000-000000000003");
    line.other.delete_cluster(&project, cluster, &next).await.unwrap();
    line.proxy.let_pass();
    assert_eq!(reset.join_next().await.unwrap().unwrap().unwrap(), Some(id::<TaskId>(BUILD)));
    assert_eq!(line.other.cluster(cluster).await.unwrap().unwrap().0.operation, Some(next.id), "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_comes_again_after_its_end_was_taken() {
    let line = Line::new(&[Cut::AfterAndHold]).await;
    let cluster: ClusterId = id(READY);
    let task = delete("01900000-0000-7000-8000-000000000003");
    let (store, wanted) = (Arc::clone(&line.cut), task.clone());
    let mut submitted = JoinSet::new();
    submitted.spawn(async move { store.delete_cluster(&id("project-a"), cluster, &wanted).await });
    line.until(cluster, ClusterTask::Deleting).await;
    let lease = line.other.claim(task.id, "tm-2", LONG).await.unwrap().unwrap().lease;
    let ending = Ending {
        outcome: Outcome::Succeeded,
        cluster_deleted: true,
        lifecycles: Vec::new(),
        faults: Vec::new(),
        ended: Vec::new(),
    };
    line.other.finish(&lease, &ending).await.unwrap();
    line.proxy.let_pass();
    assert_eq!(submitted.join_next().await.unwrap().unwrap().unwrap(), DeleteSubmitted::Taken);
}

/// The first run claimed, and the second did not: the third gives back what the first one has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_in_doubt_twice_is_made() {
    let line = Line::new(&[Cut::After, Cut::Before]).await;
    let claimed = line.cut.claim(id(BUILD), "tm-1", LONG).await.unwrap().unwrap();
    assert_eq!(claimed.task.attempt, 1);
    line.other.renew(&claimed.lease, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_right_by_a_run_that_was_lost_counts() {
    let line = Line::new(&[Cut::After]).await;
    let mut connection = MySqlConnection::connect(&line.address).await.unwrap();
    sqlx::raw_sql("UPDATE clusters SET operation = NULL").execute(&mut connection).await.unwrap();
    assert!(line.cut.amend(&Amendment::Free { cluster: id(BUILT) }).await.unwrap());
    line.until(id(BUILT), ClusterTask::None).await;
}
