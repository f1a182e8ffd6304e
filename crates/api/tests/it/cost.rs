//! What a request costs: statements of the database, and never a wait for the bus. How fast it is shows
//! `cargo xtask bench api`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{MEMBER, Service, ask};

/// Counts what the store says of its statements: it tells of each, at the level of traces.
#[derive(Clone, Default)]
struct Statements(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().starts_with("redtrove_store") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Statements {
    /// What `request` yields, and how many statements it took.
    async fn of<T>(&self, request: impl Future<Output = T>) -> (T, usize) {
        let before = self.0.load(Ordering::SeqCst);
        let answer = request.await;
        (answer, self.0.load(Ordering::SeqCst) - before)
    }

    async fn of_get(&self, service: &Service, path: &str) -> usize {
        let (answer, statements) = self.of(service.get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        statements
    }

    /// What it takes to show a cluster, and to show its last member.
    async fn of_shows(&self, service: &Service, cluster: &Value) -> [usize; 2] {
        let path = format!("/clusters/{}", cluster["id"].as_str().unwrap());
        let member = cluster["instances"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        let shown = self.of_get(service, &path).await;
        [shown, self.of_get(service, &format!("{path}/instances/{member}")).await]
    }
}

#[tokio::test]
async fn no_statement_is_repeated_for_each_member() {
    let statements = Statements::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(statements.clone()));
    let service = Service::start().await;
    let (mut creations, mut clusters) = (Vec::new(), Vec::new());
    for members in [1, 3, 50] {
        let (cluster, count) = statements.of(service.create("counted", members)).await;
        assert_eq!(statements.of_shows(&service, &cluster).await, [2, 1], "{members} members, being built");
        creations.push(count);
        clusters.push(cluster);
    }
    assert!(creations[0] > 5, "statements are counted: {creations:?}");
    assert_eq!(creations[1..], [creations[0]; 2], "one, three and fifty members are created alike");

    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    service.sql("UPDATE instances SET lifecycle = 'complete', redis = 'running'").await;
    for cluster in &clusters {
        assert_eq!(statements.of_shows(&service, cluster).await, [1, 1], "ready");
    }
    let mut growths = Vec::new();
    for (cluster, joiners) in clusters.iter().zip([1, 3, 50]) {
        let grow = json!({"grow": ask("", joiners)["cluster"]["instances"]});
        let path = format!("/clusters/{}", cluster["id"].as_str().unwrap());
        let (answer, count) = statements.of(service.post(&path, &grow)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        growths.push(count);
    }
    assert_eq!(growths[1..], [growths[0]; 2], "a cluster grows by one, three and fifty members alike");

    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    service.sql("UPDATE instances SET silent_since = 1").await;
    for cluster in &clusters {
        assert_eq!(
            statements.of_shows(&service, cluster).await,
            [2, 2],
            "the clock is asked once for all who are silent"
        );
    }
}

#[tokio::test]
async fn no_statement_is_repeated_for_each_cluster_of_a_page() {
    let statements = Statements::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(statements.clone()));
    let service = Service::start().await;
    for clusters in [1, 20] {
        while service.get("/clusters").await.json()["clusters"].as_array().unwrap().len() < clusters {
            service.create("counted", 3).await;
        }
        assert_eq!(statements.of_get(&service, "/clusters").await, 1, "{clusters} clusters");
        let instances = statements.of_get(&service, "/instances?include_clustered=true").await;
        assert_eq!(instances, 1, "the instances of {clusters} clusters");
    }
}

#[tokio::test]
async fn a_bus_that_never_answers_holds_nobody_up() {
    let service = Service::start().await;
    service.bus.hangs.store(true, Ordering::SeqCst);
    let others = async {
        let first = service.create("first", 3).await;
        join_all((0..8).map(|_| service.create("one-of-many", 3))).await;
        let shown = service.get("/clusters").await.json();
        assert_eq!(shown["clusters"].as_array().unwrap().len(), 9);
        // Another process gets the database's one lock for writers.
        service.sql("UPDATE clusters SET updated = updated").await;
        let path = format!("/v1.0/p1/clusters/{}", first["id"].as_str().unwrap());
        assert_eq!(service.call(Method::DELETE, &path, MEMBER, None).await.status, 202);
    };
    tokio::time::timeout(Duration::from_secs(30), others).await.expect("the bus holds requests up");
    assert_eq!(service.tasks.len(), 10, "every wake-up still waits for the bus");
}

/// The benchmark fills databases with this, past the store.
#[tokio::test]
async fn the_benchmarks_clusters_are_shown_as_real_ones_are() {
    let service = Service::start().await;
    const SEED: &str = concat!(
        "CREATE TEMP TABLE wanted AS SELECT 'p1' AS project_id, 41 AS clusters;",
        include_str!("../../../xtask/src/bench/api/seed.sql")
    );
    service.sql(SEED).await;
    let page = service.get("/clusters").await.json();
    assert_eq!((page["clusters"].as_array().unwrap().len(), page["links"][0]["rel"].as_str()), (20, Some("next")));
    let cluster = &page["clusters"][0];
    let shown = service.get(&format!("/clusters/{}", cluster["id"].as_str().unwrap())).await.json();
    assert_eq!(shown["cluster"]["task"]["name"], "NONE");
    let members = shown["cluster"]["instances"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    for member in members {
        assert_eq!(
            (member["status"].as_str(), member["ip"].as_array().unwrap().len()),
            (Some("ACTIVE"), 1),
            "{member}"
        );
    }
    let usages = service.store.usages(&"p1".parse().unwrap()).await.unwrap();
    assert!(usages.iter().all(|usage| usage.in_use == 123), "{usages:?}");
    let rows = service.row_counts().await;
    assert_eq!((rows["clusters"], rows["instances"], rows["tasks"]), (41, 123, 41));
    service.post("/clusters", &ask("one-more", 3)).await;
    assert_eq!(service.row_counts().await["clusters"], 42);
}
