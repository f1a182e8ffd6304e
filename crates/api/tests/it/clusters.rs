//! The life of a cluster as its owner sees it.

use axum::http::Method;
use redtrove_engine::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{ADMIN, MEMBER, OTHER, Service, ask, redacted};

fn path(cluster: &Value) -> String {
    format!("/clusters/{}", cluster["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_create_is_answered_202_with_the_blueprints_body() {
    let service = Service::start().await;
    let answer = service.post("/clusters", &ask("redis-clstr", 3)).await;
    assert_eq!(answer.status, 202);
    insta::assert_json_snapshot!("create", redacted(&answer.json()));
    let cluster = &answer.json()["cluster"];
    service.settle().await;
    let wakes = service.bus.wakes.lock().unwrap().clone();
    assert_eq!(wakes.len(), 1, "one wake-up");
    assert_eq!(
        (wakes[0].kind, wakes[0].cluster.to_string()),
        (TaskKind::CreateCluster, cluster["id"].as_str().unwrap().into())
    );
    assert_eq!(wakes[0].request.as_str(), answer.header("x-openstack-request-id"));
    let task = service.store.task(wakes[0].task).await.unwrap().unwrap();
    assert_eq!(task.request, wakes[0].request);
}

#[tokio::test]
async fn every_form_of_a_flavor_and_a_size_makes_the_same_cluster() {
    let service = Service::start().await;
    let mut body = ask("forms", 0);
    body["cluster"]["instances"] = json!([
        {"flavorRef": "1", "volume": {"size": 2}},
        {"flavorRef": 1, "volume": {"size": "2"}},
        {"flavorRef": "https://db.test/v1.0/p1/flavors/1?x=y", "volume": {"size": "02", "type": null}},
    ]);
    let answer = service.post("/clusters", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    for member in answer.json()["cluster"]["instances"].as_array().unwrap() {
        assert_eq!((&member["flavor"]["id"], &member["volume"]["size"]), (&json!("1"), &json!(2)));
    }
}

#[tokio::test]
async fn a_formed_cluster_shows_its_addresses_sorted_and_its_members_active() {
    let service = Service::start().await;
    let cluster = service.create("formed", 3).await;
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    service.sql("UPDATE instances SET lifecycle = 'complete', redis = 'running', volume_used_mb = 174").await;
    service.sql("UPDATE instances SET ip = '127.20.0.' || (12 - number * 1)").await;
    let answer = service.get(&path(&cluster)).await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!("show", redacted(&answer.json()));
    let member = answer.json()["cluster"]["instances"][0]["id"].as_str().unwrap().to_owned();
    let shown = service.get(&format!("{}/instances/{member}", path(&cluster))).await;
    assert_eq!(shown.status, 200);
    insta::assert_json_snapshot!("show_instance", redacted(&shown.json()));
    assert_eq!(service.get(&format!("/instances/{member}")).await.json(), shown.json());
}

#[tokio::test]
async fn a_running_operation_and_a_failed_one_are_shown() {
    let service = Service::start().await;
    let cluster = service.create("busy", 1).await;
    let shown = service.get(&path(&cluster)).await.json()["cluster"].clone();
    assert_eq!(shown["operation"]["kind"], "create_cluster");
    assert_eq!(shown.get("fault"), None);
    service.sql("UPDATE tasks SET state = 'failed'").await;
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL, fault = 'no machine'").await;
    service.sql("UPDATE instances SET fault = 'its machine did not start'").await;
    let shown = service.get(&path(&cluster)).await.json()["cluster"].clone();
    assert_eq!(shown.get("operation"), None);
    assert_eq!(shown["fault"], json!({"message": "no machine"}));
    assert_eq!(shown["instances"][0]["status"], "ERROR");
    let fault = json!({"message": "its machine did not start", "created": cluster["created"]});
    assert_eq!(shown["instances"][0]["fault"], fault, "clients cannot show a fault without its time");
    let instance = format!("/instances/{}", shown["instances"][0]["id"].as_str().unwrap());
    assert_eq!(service.get(&instance).await.json()["instance"]["fault"], fault);
}

#[tokio::test]
async fn a_delete_is_202_until_the_cluster_is_gone_and_404_then() {
    let service = Service::start().await;
    let cluster = service.create("short-lived", 2).await;
    let url = format!("/v1.0/p1{}", path(&cluster));
    for round in ["first", "again, while it is under way"] {
        let answer = service.call(Method::DELETE, &url, MEMBER, None).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""), "{round}");
    }
    let shown = service.get(&path(&cluster)).await.json();
    assert_eq!(shown["cluster"]["task"]["name"], "DELETING");
    assert_eq!(shown["cluster"]["instances"][0]["status"], "SHUTDOWN");
    service.settle().await;
    let kinds: Vec<_> = service.bus.wakes.lock().unwrap().iter().map(|wake| wake.kind).collect();
    assert_eq!(kinds, [TaskKind::CreateCluster, TaskKind::DeleteCluster], "a delete that changes nothing wakes nobody");
    service.sql("UPDATE clusters SET deleted = 1").await;
    for method in [Method::DELETE, Method::GET] {
        let answer = service.call(method, &url, MEMBER, None).await;
        let wanted = format!("Cluster '{}' cannot be found.", cluster["id"].as_str().unwrap());
        assert_eq!((answer.status.as_u16(), answer.fault()), (404, ("itemNotFound".to_owned(), wanted)));
    }
}

#[tokio::test]
async fn another_projects_cluster_does_not_exist() {
    let service = Service::start().await;
    let cluster = service.create("mine", 1).await;
    let member = cluster["instances"][0]["id"].as_str().unwrap();
    for path in [path(&cluster), format!("{}/instances/{member}", path(&cluster)), format!("/instances/{member}")] {
        assert_eq!(service.call(Method::GET, &format!("/v1.0/p2{path}"), OTHER, None).await.status, 404, "{path}");
        assert_eq!(service.get(&path).await.status, 200, "{path}");
    }
    let url = format!("/v1.0/p2{}", path(&cluster));
    assert_eq!(service.call(Method::DELETE, &url, OTHER, None).await.status, 404);
    assert_eq!(service.call(Method::POST, &url, OTHER, Some(&json!({"grow": []}))).await.status, 404);
    let listed = service.call(Method::GET, "/v1.0/p2/clusters", OTHER, None).await.json();
    assert_eq!(listed, json!({"clusters": []}));
}

#[tokio::test]
async fn a_member_of_another_cluster_is_not_found_in_this_one() {
    let service = Service::start().await;
    let (one, two) = (service.create("one", 1).await, service.create("two", 1).await);
    let foreign = two["instances"][0]["id"].as_str().unwrap();
    let answer = service.get(&format!("{}/instances/{foreign}", path(&one))).await;
    assert_eq!((answer.status.as_u16(), answer.fault().1), (404, format!("Resource {foreign} cannot be found.")));
}

#[tokio::test]
async fn actions_are_refused_each_in_its_own_way() {
    let service = Service::start().await;
    let cluster = service.create("acting", 1).await;
    let busy = "This action cannot be performed on the cluster while the current cluster task is 'BUILDING'.";
    let one = "Action request should have exactly one action specified in body";
    for (body, code, message) in [
        (json!({}), 400, one),
        (json!({"grow": [], "shrink": []}), 400, one),
        (json!({"explode": {}}), 400, "Action explode not supported"),
        (json!({"grow": []}), 422, busy),
        (json!({"shrink": []}), 422, busy),
    ] {
        for suffix in ["", "/action"] {
            let answer = service.post(&format!("{}{suffix}", path(&cluster)), &body).await;
            assert_eq!((answer.status.as_u16(), answer.fault().1.as_str()), (code, message), "{body} {suffix}");
        }
    }
    let gone = service.post("/clusters/416b0b16-ba55-4302-bbd3-ff566032e1c1/action", &json!({"grow": []})).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_quota_is_413_and_leaves_nothing_behind() {
    let quota = "[quota]\nmax_instances_per_tenant = 3\nmax_volumes_per_tenant = 5\n";
    let service = Service::with(quota, false).await;
    let before = service.row_counts().await;
    let answer = service.post("/clusters", &ask("too-many", 4)).await;
    assert_eq!(answer.status, 413);
    let message = "Quota exceeded for resources: ['instances', 'volumes'].".to_owned();
    assert_eq!(answer.fault(), ("overLimit".to_owned(), message));
    assert_eq!(service.row_counts().await, before);
    assert_eq!(service.post("/clusters", &ask("fits", 2)).await.status, 202);
    assert_eq!(
        service.post("/clusters", &ask("no-more", 1)).await.fault().1,
        "Quota exceeded for resources: ['volumes']."
    );
}

#[tokio::test]
async fn a_broker_that_is_away_costs_the_tenant_nothing() {
    let service = Service::with("", true).await;
    service.create("unheard", 1).await;
    service.settle().await;
    assert!(service.numbers.encode().unwrap().contains("redtrove_api_publish_failures_total 1\n"));
    assert_eq!(service.store.tasks(None, 10).await.unwrap().len(), 1, "the task waits for a sweeper");
}

#[tokio::test]
async fn without_volumes_the_disk_of_the_flavor_counts() {
    let service = Service::with("[redis]\nvolume_support = false\n", false).await;
    let body =
        |instance: Value| json!({"cluster": {"name": "c", "datastore": {"type": "redis"}, "instances": [instance]}});
    let answer = service.post("/clusters", &body(json!({"flavorRef": "2"}))).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let cluster = answer.json()["cluster"].clone();
    assert_eq!(cluster["instances"][0].get("volume"), None);
    let member = cluster["instances"][0]["id"].as_str().unwrap();
    assert_eq!(service.get(&format!("/instances/{member}")).await.json()["instance"]["local_storage"], json!({}));
    let refused = service.post("/clusters", &body(json!({"flavorRef": "1"}))).await;
    assert_eq!(
        (refused.status.as_u16(), refused.fault().1.as_str()),
        (403, "Local storage not specified in flavor ID: 1.")
    );
    let refused = service.post("/clusters", &body(json!({"flavorRef": "2", "volume": {"size": 1}}))).await;
    assert_eq!(refused.fault(), ("notImplemented".to_owned(), "Volume support is not enabled.".to_owned()));
}

#[tokio::test]
async fn where_clusters_are_switched_off_none_is_made() {
    let service = Service::with("[redis]\ncluster_support = false\n", false).await;
    let answer = service.post("/clusters", &ask("c", 1)).await;
    assert_eq!((answer.status.as_u16(), answer.fault().1.as_str()), (501, "Clusters not supported for redis-7.0."));
    assert_eq!(service.call(Method::GET, "/v1.0/p1/clusters", ADMIN, None).await.json(), json!({"clusters": []}));
}
