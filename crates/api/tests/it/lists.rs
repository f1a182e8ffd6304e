//! Lists: pages, links, and what there is to choose from.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request};
use serde_json::json;

use crate::support::{MEMBER, Service, redacted};

#[tokio::test]
async fn pages_show_each_cluster_once_and_keep_the_query() {
    let service = Service::with("[api]\nclusters_page_size = 3\n", false).await;
    for number in 0..7 {
        service.create(&format!("c{number}"), 1).await;
    }
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    let mut url = "/v1.0/p1/clusters?limit=100&note=a%20b".to_owned();
    loop {
        let page = service.call(Method::GET, &url, MEMBER, None).await.json();
        let ids = page["clusters"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned());
        seen.extend(ids);
        sizes.push(page["clusters"].as_array().unwrap().len());
        let Some(next) = page.get("links") else { break };
        assert_eq!(next[0]["rel"], "next");
        let href = next[0]["href"].as_str().unwrap();
        url = href.strip_prefix("http://db.test:8779").unwrap_or_else(|| panic!("{href}")).to_owned();
        assert!(url.contains("note=a%20b") && url.matches("marker=").count() == 1, "{url}");
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert!(seen.is_sorted() && seen.len() == 7, "{seen:?}");
}

#[tokio::test]
async fn whoever_walks_the_pages_sees_each_once_while_clusters_come_and_go() {
    let service = Service::with("[api]\npublic_endpoint = \"https://db.example.org/base\"\n", false).await;
    let mut there = BTreeSet::new();
    for number in 0..30 {
        there.insert(service.create(&format!("stays-{number}"), 1).await["id"].as_str().unwrap().to_owned());
    }
    for number in 0..10 {
        service.create(&format!("goes-{number}"), 1).await;
    }
    let (mut seen, mut url, mut page) = (Vec::new(), "/v1.0/p1/clusters?limit=4".to_owned(), 0);
    loop {
        let answer = service.call(Method::GET, &url, MEMBER, None).await.json();
        seen.extend(answer["clusters"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
        // One comes and one goes, the last one of this page too, which the next page begins after.
        service.create(&format!("comes-{page}"), 1).await;
        service.sql("UPDATE clusters SET deleted = 1 WHERE id = (SELECT MIN(id) FROM clusters WHERE name LIKE 'goes-%' AND deleted = 0)").await;
        page += 1;
        let Some(next) = answer.get("links") else { break };
        let href = next[0]["href"].as_str().unwrap();
        url = href.strip_prefix("https://db.example.org/base").unwrap_or_else(|| panic!("{href}")).to_owned();
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "nothing is seen twice");
    assert!(there.is_subset(&distinct), "what was there all the time is seen");
    assert!(page >= 8, "{page} pages");
}

#[tokio::test]
async fn a_list_shows_members_without_status() {
    let service = Service::start().await;
    service.create("listed", 1).await;
    let body = service.get("/clusters").await.json();
    insta::assert_json_snapshot!("list", redacted(&body));
}

#[tokio::test]
async fn a_bad_page_is_refused() {
    let service = Service::start().await;
    for query in ["limit=0", "limit=-1", "limit=x", "limit=", "limit=1.5", "marker=x", "marker=", "marker=%FF"] {
        for list in ["/clusters", "/instances"] {
            let answer = service.get(&format!("{list}?{query}")).await;
            assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "badRequest"), "{list} {query}");
        }
    }
    let most = service.get("/clusters?limit=99999999999999999999999").await;
    assert_eq!(most.status, 200);
}

#[tokio::test]
async fn members_are_listed_as_instances_only_when_asked_for() {
    let service = Service::with("[api]\nclusters_page_size = 2\n", false).await;
    service.create("same", 1).await;
    service.create("same", 1).await;
    service.create("same", 1).await;
    for query in ["", "?include_clustered=False", "?include_clustered=false"] {
        assert_eq!(service.get(&format!("/instances{query}")).await.json(), json!({"instances": []}));
    }
    let page = service.get("/instances?include_clustered=True").await.json();
    assert_eq!(page["instances"].as_array().unwrap().len(), 2);
    let href = page["links"][0]["href"].as_str().unwrap();
    assert!(href.contains("include_clustered=True"), "{href}");
    let rest = service.call(Method::GET, &href["http://db.test:8779".len()..], MEMBER, None).await.json();
    assert_eq!(rest["instances"].as_array().unwrap().len(), 1);
    assert_eq!(rest.get("links"), None);
    insta::assert_json_snapshot!("instance_item", redacted(&rest["instances"][0]));
    let id = rest["instances"][0]["id"].as_str().unwrap();
    assert_eq!(service.get(&format!("/instances/{id}/modules")).await.json(), json!({"modules": []}));
    let one = service.get(&format!("/instances/{id}")).await.json()["instance"].clone();
    let page = service.get("/instances/detail?include_clustered=TRUE").await.json();
    let next = page["links"][0]["href"].as_str().unwrap();
    let rest = service.call(Method::GET, &next["http://db.test:8779".len()..], MEMBER, None).await.json();
    assert_eq!(rest["instances"], json!([one]));
    assert_eq!(service.get("/instances/detail").await.json(), json!({"instances": []}));
}

#[tokio::test]
async fn flavors_and_datastores_are_found_in_every_form() {
    let service = Service::start().await;
    let body = service.get("/flavors").await.json();
    insta::assert_json_snapshot!("flavors", redacted(&body));
    let body = service.get("/datastores").await.json();
    insta::assert_json_snapshot!("datastores", redacted(&body));
    let datastore = service.get("/datastores/redis").await.json()["datastore"].clone();
    let (id, version) = (datastore["id"].as_str().unwrap(), datastore["versions"][0].clone());
    let (version_id, name) = (version["id"].as_str().unwrap(), version["name"].as_str().unwrap());
    assert_eq!(service.get(&format!("/datastores/{id}")).await.json()["datastore"], datastore);
    let one = service.get(&format!("/datastores/versions/{version_id}")).await;
    insta::assert_json_snapshot!("version", redacted(&one.json()));
    for path in [format!("/datastores/redis/versions/{name}"), format!("/datastores/{id}/versions/{version_id}")] {
        assert_eq!(service.get(&path).await.json(), one.json(), "{path}");
    }
    for path in [format!("/datastores/redis/versions/{name}"), format!("/datastores/{id}/versions/{version_id}")] {
        assert_eq!(
            service.get(&format!("{path}/flavors")).await.json(),
            service.get("/flavors").await.json(),
            "{path}"
        );
        let types = service.get(&format!("{path}/volume-types")).await.json();
        assert_eq!(types, json!({"volume_types": []}), "{path}");
    }
    assert_eq!(service.get("/datastores/redis/versions/9/flavors").await.status, 404);
    assert_eq!(service.get("/volume-types").await.json(), json!({"volume_types": []}));
    assert_eq!(service.get("/modules").await.json(), json!({"modules": []}));
    let versions = service.get("/datastores/redis/versions").await.json();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
    assert_eq!(versions["versions"][0]["datastore"], id);
    assert_eq!(service.get("/flavors/large-one").await.json()["flavor"]["id"], json!(null));
    assert_eq!(
        service.get("/limits").await.json(),
        json!({"limits": [
            {"verb": "ABSOLUTE", "max_instances": -1, "max_volumes": -1, "max_backups": 0},
        ]})
    );
}

#[tokio::test]
async fn an_inactive_version_is_neither_shown_nor_taken() {
    let service = Service::start().await;
    service.sql("UPDATE datastore_versions SET active = 0 WHERE name = '3.0'").await;
    assert_eq!(service.get("/datastores/redis/versions/3.0").await.status, 404);
    let mut body = crate::support::ask("c", 1);
    body["cluster"]["datastore"]["version"] = json!("3.0");
    assert_eq!(service.post("/clusters", &body).await.status, 400);
    service.sql("UPDATE datastore_versions SET active = 0").await;
    assert_eq!(service.get("/datastores").await.json(), json!({"datastores": []}));
}

/// `self` of the first flavor, for a request with these headers from this address.
async fn link(service: &Service, peer: &str, headers: &[(&str, &str)]) -> String {
    let mut request = Request::builder().uri("/v1.0/p1/flavors").header("x-auth-token", MEMBER);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(format!("{peer}:4711").parse::<std::net::SocketAddr>().unwrap()));
    let href = service.send(request).await.json()["flavors"][0]["links"][0]["href"].as_str().unwrap().to_owned();
    href.strip_suffix("/v1.0/p1/flavors/1").unwrap().to_owned()
}

#[tokio::test]
async fn links_lead_where_the_caller_came_from() {
    let forwarded = [("host", "inner:8779"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "db.example.org")];
    let service = Service::with("[api]\ntrusted_proxies = [\"10.0.0.0/24\"]\n", false).await;
    assert_eq!(link(&service, "10.0.0.7", &forwarded).await, "https://db.example.org");
    assert_eq!(link(&service, "10.0.1.7", &forwarded).await, "http://inner:8779", "not from a trusted proxy");
    assert_eq!(link(&service, "10.0.0.7", &[("x-forwarded-proto", "gopher"), ("host", "h")]).await, "http://h");
    let chain = [("x-forwarded-proto", "https, http"), ("x-forwarded-host", "db.example.org , inner:8779")];
    assert_eq!(link(&service, "10.0.0.7", &chain).await, "https://db.example.org", "behind two");
    assert_eq!(link(&service, "10.0.1.7", &[]).await, "http://127.0.0.1:8779", "no host at all");
    let service =
        Service::with("[api]\npublic_endpoint = \"https://public.test/\"\ntrusted_proxies = [\"10.0.0.7\"]\n", false)
            .await;
    assert_eq!(link(&service, "10.0.0.7", &forwarded).await, "https://public.test");
}
