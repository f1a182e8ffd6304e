//! What a project may have: shown, changed, and kept to.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, MEMBER, Service, ask};

const LIMITS: &str = "[quota]\nmax_instances_per_tenant = 4\nmax_volumes_per_tenant = -1\n";

async fn put(service: &Service, body: &Value) -> (u16, Value) {
    let answer = service.call(Method::PUT, "/v1.0/p1/mgmt/quotas/p1", ADMIN, Some(body)).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_projects_own_limit_is_shown_and_counts() {
    let service = Service::with(LIMITS, false).await;
    service.create("three", 3).await;
    let quotas = |instances: i64, volumes: i64| {
        json!({"quotas": [
            {"resource": "instances", "in_use": 3, "reserved": 0, "limit": instances},
            {"resource": "volumes", "in_use": 6, "reserved": 0, "limit": volumes},
        ]})
    };
    assert_eq!(service.get("/mgmt/quotas/p1").await.json(), quotas(4, -1));
    assert_eq!(service.post("/clusters", &ask("two", 2)).await.status, 413);

    let changed = put(&service, &json!({"quotas": {"instances": "5", "volumes": 100}})).await;
    assert_eq!(changed, (200, json!({"quotas": {"instances": 5, "volumes": 100}})));
    assert_eq!(service.get("/mgmt/quotas/p1").await.json(), quotas(5, 100));
    let limits = service.get("/limits").await.json();
    assert_eq!(
        limits,
        json!({"limits": [{"verb": "ABSOLUTE", "max_instances": 5, "max_volumes": 100, "max_backups": 0}]})
    );
    service.create("two", 2).await;

    assert_eq!(put(&service, &json!({"quotas": {"instances": -7}})).await, (200, json!({"quotas": {"instances": -1}})));
    service.create("many", 20).await;
    assert_eq!(
        put(&service, &json!({"quotas": {"instances": null}})).await,
        (200, json!({"quotas": {"instances": 4}}))
    );
    let message = service.post("/clusters", &ask("one", 1)).await.fault().1;
    assert_eq!(message, "Quota exceeded for resources: ['instances'].");
}

#[tokio::test]
async fn a_limit_that_is_none_changes_nothing() {
    let service = Service::with(LIMITS, false).await;
    let before = service.row_counts().await;
    for (body, part) in [
        (json!({}), "Validation error: quotas: is required"),
        (json!({"quotas": null}), "Validation error: quotas: "),
        (json!({"quotas": {}}), "must name instances or volumes"),
        (json!({"quotas": {"backups": 1}}), "Validation error: quotas.backups: unknown field"),
        (json!({"quotas": {"instances": 1, "servers": 1}}), "unknown field"),
        (json!({"quotas": {"instances": "many"}}), "Validation error: quotas.instances: "),
        (json!({"quotas": {"instances": 1.5}}), "Validation error: quotas.instances: "),
        (json!({"quotas": {"volumes": 4_000_000_000_u64}}), "Validation error: quotas.volumes: "),
    ] {
        let (code, answer) = put(&service, &body).await;
        assert_eq!(code, 400, "{body}");
        assert!(answer["badRequest"]["message"].as_str().unwrap().contains(part), "{body}: {answer}");
    }
    assert_eq!(service.row_counts().await, before);
    for method in [Method::GET, Method::PUT] {
        let body = json!({"quotas": {"instances": 1}});
        let answer = service.call(method, "/v1.0/p1/mgmt/quotas/no.such", ADMIN, Some(&body)).await;
        assert_eq!((answer.status.as_u16(), answer.fault().1.as_str()), (404, "Resource no.such cannot be found."));
    }
}

#[tokio::test]
async fn fifty_creates_at_once_never_exceed_a_quota() {
    let service = Service::with("[quota]\nmax_instances_per_tenant = 10\nmax_volumes_per_tenant = 40\n", false).await;
    let one = ask("racer", 3);
    let all = (0..50).map(|_| service.post("/clusters", &one));
    let answers = futures_util::future::join_all(all).await;
    let taken = answers.iter().filter(|answer| answer.status == 202).count();
    let refused = answers.iter().filter(|answer| answer.status == 413).count();
    assert_eq!((taken, refused), (3, 47));
    let listed = service.call(Method::GET, "/v1.0/p1/instances?include_clustered=true", MEMBER, None).await.json();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 9);
}
