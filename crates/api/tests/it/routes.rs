//! Every route × who asks: nobody, somebody of another project, a reader, a member, an admin.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, MEMBER, OTHER, READER, Service, ask};

/// Method, route, path below the project, whether it writes, what a member gets.
fn table(cluster: &str, member: &str) -> Vec<(Method, &'static str, String, bool, u16)> {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    vec![
        (get.clone(), "/clusters", "/clusters".into(), false, 200),
        (post.clone(), "/clusters", "/clusters".into(), true, 202),
        (get.clone(), "/clusters/{cluster_id}", format!("/clusters/{cluster}"), false, 200),
        (post.clone(), "/clusters/{cluster_id}", format!("/clusters/{cluster}"), true, 400),
        (post, "/clusters/{cluster_id}/action", format!("/clusters/{cluster}/action"), true, 400),
        (
            get.clone(),
            "/clusters/{cluster_id}/instances/{instance_id}",
            format!("/clusters/{cluster}/instances/{member}"),
            false,
            200,
        ),
        (get.clone(), "/instances", "/instances".into(), false, 200),
        (get.clone(), "/instances/{instance_id}", format!("/instances/{member}"), false, 200),
        (get.clone(), "/flavors", "/flavors".into(), false, 200),
        (get.clone(), "/flavors/{flavor_id}", "/flavors/1".into(), false, 200),
        (get.clone(), "/datastores", "/datastores".into(), false, 200),
        (get.clone(), "/datastores/{datastore}", "/datastores/redis".into(), false, 200),
        (get.clone(), "/datastores/{datastore}/versions", "/datastores/redis/versions".into(), false, 200),
        (
            get.clone(),
            "/datastores/{datastore}/versions/{version}",
            "/datastores/redis/versions/7.0".into(),
            false,
            200,
        ),
        (get.clone(), "/datastores/versions/{version_id}", format!("/datastores/versions/{cluster}"), false, 404),
        (get, "/limits", "/limits".into(), false, 200),
        (delete, "/clusters/{cluster_id}", format!("/clusters/{cluster}"), true, 202),
    ]
}

#[tokio::test]
async fn each_route_lets_in_whom_the_policy_names() {
    let service = Service::start().await;
    let cluster = service.create("target", 1).await;
    let (id, member) = (cluster["id"].as_str().unwrap(), cluster["instances"][0]["id"].as_str().unwrap());
    let mut covered = BTreeSet::new();
    for (method, route, path, writes, code) in table(id, member) {
        covered.insert((method.to_string().to_lowercase(), format!("/v1.0/{{project_id}}{route}")));
        let body = (method == Method::POST).then(|| ask("new", 1));
        let rows = [
            ("no-such-token", "p1", 401),
            (OTHER, "p1", 403),
            (ADMIN, "p2", 403),
            (READER, "p1", if writes { 403 } else { code }),
            (MEMBER, "p1", code),
            (ADMIN, "p1", code),
        ];
        for (token, project, wanted) in rows {
            let before = service.row_counts().await;
            let answer = service.call(method.clone(), &format!("/v1.0/{project}{path}"), token, body.as_ref()).await;
            assert_eq!(answer.status, wanted, "{method} {path} {token} {project}: {}", answer.text);
            assert!(answer.header("x-openstack-request-id").starts_with("req-"), "{method} {path}");
            if wanted >= 400 {
                answer.fault();
                assert_eq!(service.row_counts().await, before, "{method} {path} {token}");
            }
        }
    }
    assert_eq!(covered, documented(), "every documented route is in this table, and no other");
}

fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::to_value(redtrove_api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone())));
    operations.filter(|(_, path)| path != "/").collect()
}

#[tokio::test]
async fn a_missing_token_is_told_where_to_get_one() {
    let service = Service::with("", false).await;
    for path in ["/v1.0/p1/clusters", "/v1.0/p1/nowhere", "/v1.0", "/v1.0/"] {
        let request = axum::http::Request::builder().uri(path).header("host", "db.test");
        let answer = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (401, "unauthorized"), "{path}");
        assert_eq!(answer.header("www-authenticate"), "Keystone uri=\"http://db.test\"");
    }
    assert_eq!(service.call(Method::GET, "/v1.0/", MEMBER, None).await.status, 403);
    let message = service.call(Method::GET, "/v1.0/p2/clusters", MEMBER, None).await.fault().1;
    assert_eq!(message, "User with tenant id p1 cannot access this resource.");
    let service = Service::with("", false).await.call(Method::GET, "/v1.0/p1/clusters", "caf\u{e9}", None).await;
    assert_eq!(service.status, 401);
}

#[tokio::test]
async fn the_policy_can_be_overridden_rule_by_rule() {
    let service = Service::with(
        "[policy]\n\"cluster:create\" = \"admin\"\n\"cluster:index\" = \"nobody\"\n\"cluster:delete\" = \"anyone\"\n",
        false,
    )
    .await;
    let create = |token| service.call(Method::POST, "/v1.0/p1/clusters", token, None);
    let (name, message) = create(MEMBER).await.fault();
    assert_eq!(
        (name.as_str(), message.as_str()),
        ("forbidden", "Policy doesn't allow cluster:create to be performed.")
    );
    let made = service.call(Method::POST, "/v1.0/p1/clusters", ADMIN, Some(&ask("c", 1))).await;
    assert_eq!(made.status, 202);
    assert_eq!(service.get("/clusters").await.status, 403);
    let url = format!("/v1.0/p1/clusters/{}", made.json()["cluster"]["id"].as_str().unwrap());
    assert_eq!(service.call(Method::DELETE, &url, READER, None).await.status, 202);
}

#[tokio::test]
async fn what_is_open_is_open_to_all() {
    let service = Service::start().await;
    for path in ["/", "/openapi.json"] {
        let request = axum::http::Request::builder().uri(path).header("host", "db.test");
        let answer = service.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let versions = service.call(Method::GET, "/", "", None).await.json();
    assert_eq!(
        versions,
        json!({"versions": [{
            "id": "v1.0", "status": "CURRENT", "updated": "2012-08-01T00:00:00Z",
            "links": [{"rel": "self", "href": "http://db.test:8779/v1.0/"}],
        }]})
    );
}
