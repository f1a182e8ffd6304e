//! Grow and shrink as their owner sees them. No taskmanager runs: what it would write is written here.

use axum::http::Method;
use redtrove_engine::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{Answer, MEMBER, Service, ask, redacted};

/// A service, and a cluster of this many members that is ready.
async fn ready(members: usize) -> (Service, String, Vec<String>) {
    let service = Service::with("[api]\nagent_call_low_timeout = 1\n", false).await;
    let cluster = service.create("scaled", members).await;
    service.sql("UPDATE tasks SET state = 'succeeded'").await;
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    service.sql("UPDATE instances SET lifecycle = 'complete', ip = '10.0.0.' || number, redis = 'running'").await;
    let ids = cluster["instances"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned());
    (service, format!("/clusters/{}", cluster["id"].as_str().unwrap()), ids.collect())
}

fn leaving(ids: &[&str]) -> Value {
    json!({"shrink": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()})
}

/// Waits until somebody asks for a shrink, and gives the verdict.
async fn rule(service: &Service, statements: &[&'static str]) {
    while !service.store.tasks(None, 1).await.unwrap().iter().any(|task| task.kind == TaskKind::ShrinkCluster) {
        tokio::task::yield_now().await;
    }
    for statement in statements {
        service.sql(statement).await;
    }
}

const REFUSED: [&str; 2] = [
    "UPDATE tasks SET state = 'failed', verdict = 'refused', fault = 'One or more nodes have data slots assigned.' \
     WHERE kind = 'shrink_cluster'",
    "UPDATE clusters SET task = 'NONE', operation = NULL",
];

const ACCEPTED: [&str; 1] = ["UPDATE tasks SET verdict = 'accepted' WHERE kind = 'shrink_cluster'"];

#[tokio::test]
async fn a_grow_is_answered_with_the_new_members_only() {
    let (service, path, _) = ready(2).await;
    let body = json!({"grow": [
        {"flavorRef": "large-one", "volume": {"size": "3"}, "name": "ignored", "availability_zone": "nova"},
        {"flavorRef": "large-one", "volume": {"size": 3}, "type": "member", "related_to": null},
    ]});
    let answer = service.post(&format!("{path}/action"), &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    insta::assert_json_snapshot!("grow", redacted(&answer.json()));
    let shown = service.get(&path).await.json();
    let (grown, shown) = (&answer.json()["cluster"], &shown["cluster"]);
    assert_eq!(shown["instances"].as_array().unwrap()[2..], grown["instances"].as_array().unwrap()[..]);
    assert_eq!((&shown["task"], &shown["operation"]), (&grown["task"], &grown["operation"]));
    service.settle().await;
    let kinds: Vec<_> = service.bus.wakes.lock().unwrap().iter().map(|wake| wake.kind).collect();
    assert_eq!(kinds, [TaskKind::CreateCluster, TaskKind::GrowCluster]);
    let placed = service.store.instances(&"p1".parse().unwrap(), None, 10).await.unwrap();
    assert_eq!(placed.iter().filter(|(_, i)| i.placement.availability_zone.as_deref() == Some("nova")).count(), 1);
}

#[tokio::test]
async fn of_two_grows_at_once_one_is_taken() {
    let (service, path, _) = ready(1).await;
    let body = json!({"grow": [{"flavorRef": 1, "volume": {"size": 2}}]});
    let (one, two) = tokio::join!(service.post(&path, &body), service.post(&path, &body));
    let mut codes = [one.status.as_u16(), two.status.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [202, 422]);
    let shown = service.get(&path).await.json();
    assert_eq!(shown["cluster"]["instances"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_shrink_waits_for_the_verdict() {
    let (service, path, ids) = ready(3).await;
    let body = leaving(&[&ids[2], &ids[1], &ids[2]]);
    let (answer, ()) = tokio::join!(service.post(&path, &body), rule(&service, &REFUSED));
    let message = "One or more nodes have data slots assigned.".to_owned();
    assert_eq!((answer.status.as_u16(), answer.fault()), (403, ("forbidden".to_owned(), message)));
    let shown = service.get(&path).await.json()["cluster"].clone();
    assert_eq!((&shown["task"]["name"], shown.get("fault")), (&json!("NONE"), None), "no fault is left");

    service.sql("DELETE FROM tasks WHERE kind = 'shrink_cluster'").await;
    let (answer, ()) = tokio::join!(service.post(&path, &body), rule(&service, &ACCEPTED));
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
    let tasks = service.store.tasks(None, 1).await.unwrap();
    assert_eq!(tasks[0].members.len(), 2, "who is named twice is one");
    assert_eq!(service.get(&path).await.json()["cluster"]["task"]["name"], "SHRINKING_CLUSTER");
}

#[tokio::test]
async fn a_shrink_without_verdict_in_time_is_202() {
    let (service, path, ids) = ready(2).await;
    let answer = service.post(&format!("{path}/action"), &leaving(&[&ids[0]])).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
    let busy = service.post(&path, &leaving(&[&ids[1]])).await;
    assert_eq!(
        (busy.status.as_u16(), busy.fault().1.as_str()),
        (422, "This action cannot be performed on the cluster while the current cluster task is 'SHRINKING_CLUSTER'.")
    );
}

async fn keyed(service: &Service, path: &str, body: &Value) -> Answer {
    let request = axum::http::Request::builder().method(Method::POST).uri(format!("/v1.0/p1{path}"));
    let request = request.header("x-auth-token", MEMBER).header("content-type", "application/json");
    let request = request.header("host", "db.test:8779").header("idempotency-key", "k");
    service.send(request.body(axum::body::Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_grow_that_comes_again_is_answered_and_not_done_again() {
    let (service, path, _) = ready(1).await;
    let body = json!({"grow": [{"flavorRef": 1, "volume": {"size": 2}}]});
    let (one, two) = tokio::join!(keyed(&service, &path, &body), keyed(&service, &path, &body));
    let three = keyed(&service, &path, &body).await;
    assert_eq!((one.status.as_u16(), &one.text, &one.text), (202, &two.text, &three.text));
    let other = json!({"grow": [{"flavorRef": 2, "volume": {"size": 2}}]});
    assert_eq!(keyed(&service, &path, &other).await.status, 422);
    assert_eq!(service.get(&path).await.json()["cluster"]["instances"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_shrink_that_comes_again_hears_the_same_verdict() {
    let (service, path, ids) = ready(2).await;
    let body = leaving(&[&ids[1]]);
    let (one, two, ()) =
        tokio::join!(keyed(&service, &path, &body), keyed(&service, &path, &body), rule(&service, &REFUSED));
    // Once it is settled it stays, whatever became of the task.
    service.sql("DELETE FROM tasks WHERE kind = 'shrink_cluster'").await;
    let three = keyed(&service, &path, &body).await;
    for answer in [&one, &two, &three] {
        assert_eq!((answer.status.as_u16(), &answer.text), (403, &one.text));
    }
    assert_eq!(three.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn quotas_count_for_grows_too() {
    let service = Service::with("[quota]\nmax_instances_per_tenant = 3\nmax_volumes_per_tenant = -1\n", false).await;
    let cluster = service.post("/clusters", &ask("c", 2)).await.json()["cluster"].clone();
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    let path = format!("/clusters/{}", cluster["id"].as_str().unwrap());
    let grow = |count| json!({"grow": vec![json!({"flavorRef": 1, "volume": {"size": 2}}); count]});
    let answer = service.post(&path, &grow(2)).await;
    assert_eq!(answer.fault(), ("overLimit".to_owned(), "Quota exceeded for resources: ['instances'].".to_owned()));
    assert_eq!(service.get(&path).await.json()["cluster"]["task"]["name"], "NONE");
    assert_eq!(service.post(&path, &grow(1)).await.status, 202);
}
