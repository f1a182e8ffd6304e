//! What operators see and do: clusters of all projects, and resets.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, MEMBER, OTHER, Service, ask, redacted};

async fn get(service: &Service, path: &str) -> Value {
    let answer = service.call(Method::GET, &format!("/v1.0/p1/mgmt/clusters{path}"), ADMIN, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn act(service: &Service, path: &str, body: Value) -> (u16, String) {
    let answer = service.call(Method::POST, &format!("/v1.0/p1{path}"), ADMIN, Some(&body)).await;
    (answer.status.as_u16(), if answer.text.is_empty() { String::new() } else { answer.fault().1 })
}

#[tokio::test]
async fn every_cluster_is_listed_deleted_or_not() {
    let service = Service::with("[api]\nclusters_page_size = 2\n", false).await;
    service.create("first", 1).await;
    let gone = service.create("gone", 1).await;
    service.call(Method::POST, "/v1.0/p2/clusters", OTHER, Some(&ask("theirs", 2))).await;
    let id = gone["id"].as_str().unwrap();
    service
        .sql("UPDATE clusters SET deleted = 1, deleted_at = 1000, task = 'NONE', operation = NULL WHERE name = 'gone'")
        .await;
    service.sql("UPDATE instances SET lifecycle = 'deleted' WHERE name = 'gone-member-1'").await;

    let page = get(&service, "").await;
    assert_eq!(page["clusters"].as_array().unwrap().len(), 2);
    let href = page["links"][0]["href"].as_str().unwrap().strip_prefix("http://db.test:8779").unwrap();
    let rest = service.call(Method::GET, href, ADMIN, None).await.json();
    assert_eq!((rest["clusters"].as_array().unwrap().len(), rest.get("links")), (1, None));
    let names = |page: &Value| {
        let mut names: Vec<_> =
            page["clusters"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&get(&service, "?deleted=true").await), ["gone"]);
    assert_eq!(names(&get(&service, "?deleted=False").await), ["first", "theirs"]);
    let bad = service.call(Method::GET, "/v1.0/p1/mgmt/clusters?deleted=maybe", ADMIN, None).await;
    assert_eq!(
        (bad.status.as_u16(), bad.fault().1.as_str()),
        (400, "The parameter deleted must be true or false, not 'maybe'.")
    );

    let shown = get(&service, &format!("/{id}")).await;
    insta::assert_json_snapshot!("operator_show", redacted(&shown));
    assert_eq!(service.get(&format!("/clusters/{id}")).await.status, 404, "for tenants it is gone");
    assert_eq!(act(&service, &format!("/mgmt/clusters/{id}/action"), json!({"reset-task": {}})).await.0, 404);
}

#[tokio::test]
async fn a_reset_ends_what_a_cluster_is_busy_with() {
    for (path, body) in [
        ("/clusters/{}", json!({"reset-status": {}})),
        ("/clusters/{}/action", json!({"reset-status": null})),
        ("/clusters/{}", json!({"reset-status": {"force_delete": true}})),
        ("/mgmt/clusters/{}/action", json!({"reset-task": {}})),
    ] {
        let service = Service::start().await;
        let cluster = service.create("busy", 2).await;
        let url = format!("/clusters/{}", cluster["id"].as_str().unwrap());
        let path = path.replace("{}", cluster["id"].as_str().unwrap());
        for round in ["first", "again, with nothing to end"] {
            assert_eq!(act(&service, &path, body.clone()).await, (202, String::new()), "{round}");
        }
        let shown = service.get(&url).await.json()["cluster"].clone();
        assert_eq!((&shown["task"]["name"], shown.get("operation")), (&json!("NONE"), None));
        assert_eq!(shown["fault"]["message"], "The operation was ended by a reset.");
        for member in shown["instances"].as_array().unwrap() {
            assert_eq!((&member["status"], &member["fault"]["message"]), (&json!("ERROR"), &shown["fault"]["message"]));
        }
        // What clients call a forced delete: a reset, then this.
        let delete = service.call(Method::DELETE, &format!("/v1.0/p1{url}"), MEMBER, None).await;
        assert_eq!(delete.status, 202);
    }
}

#[tokio::test]
async fn an_operators_action_is_reset_task_and_nothing_else() {
    let service = Service::start().await;
    let id = service.create("c", 1).await["id"].as_str().unwrap().to_owned();
    let one = "Action request should have exactly one action specified in body";
    for (body, message) in [
        (json!({}), one),
        (json!({"reset-task": {}, "stop": {}}), one),
        (json!({"reset-status": {}}), "Action reset-status not supported"),
        (json!({"restart": {}}), "Action 'restart' not supported"),
    ] {
        let answer = act(&service, &format!("/mgmt/clusters/{id}/action"), body.clone()).await;
        assert_eq!(answer, (400, message.to_owned()), "{body}");
    }
    let unknown = act(&service, "/mgmt/clusters/x/action", json!({"reset-task": {}})).await;
    assert_eq!(unknown, (404, "Cluster 'x' cannot be found.".to_owned()));
}
