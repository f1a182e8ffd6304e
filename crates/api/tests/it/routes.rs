//! Every route × who asks: nobody, somebody of another project, a reader, a member, an admin.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, MEMBER, OTHER, READER, Service, ask};

/// What a caller is to an installation; the order of a row's codes.
const CALLERS: [(&str, Option<&str>, &str); 7] = [
    ("nobody", None, "p1"),
    ("somebody unknown", Some("no-such-token"), "p1"),
    ("a member of another project", Some(OTHER), "p1"),
    ("an admin of another project", Some(ADMIN), "p2"),
    ("a reader", Some(READER), "p1"),
    ("a member", Some(MEMBER), "p1"),
    ("an admin", Some(ADMIN), "p1"),
];

/// One route: method, route, the rest of the URL, the body, and what a reader, a member and an admin are answered.
/// Everybody else is answered 401 or 403 everywhere.
struct Row(Method, &'static str, String, Option<Value>, [u16; 3]);

/// A route that everybody in the project may look at.
fn look(route: &'static str, path: &str, code: u16) -> Row {
    Row(Method::GET, route, path.to_owned(), None, [code; 3])
}

/// A route that readers may not use.
fn change(method: Method, route: &'static str, path: &str, body: Option<Value>, code: u16) -> Row {
    Row(method, route, path.to_owned(), body, [403, code, code])
}

/// A route for operators.
fn operate(method: Method, route: &'static str, path: &str, body: Option<Value>, code: u16) -> Row {
    Row(method, route, path.to_owned(), body, [401, 401, code])
}

fn looks(cluster: &str, member: &str) -> Vec<Row> {
    vec![
        look("/clusters", "/clusters", 200),
        look("/clusters/{cluster_id}", &format!("/clusters/{cluster}"), 200),
        look("/clusters/{cluster_id}/instances/{instance_id}", &format!("/clusters/{cluster}/instances/{member}"), 200),
        look("/clusters/{cluster_id}/root", &format!("/clusters/{cluster}/root"), 400),
        look("/instances", "/instances", 200),
        look("/instances/detail", "/instances/detail", 200),
        look("/instances/{instance_id}", &format!("/instances/{member}"), 200),
        look("/instances/{instance_id}/modules", &format!("/instances/{member}/modules"), 200),
        look("/modules", "/modules", 200),
        look("/modules/{module_id}", "/modules/m", 404),
        look("/flavors", "/flavors", 200),
        look("/flavors/{flavor_id}", "/flavors/1", 200),
        look("/datastores", "/datastores", 200),
        look("/datastores/{datastore}", "/datastores/redis", 200),
        look("/datastores/{datastore}/versions", "/datastores/redis/versions", 200),
        look("/datastores/{datastore}/versions/{version}", "/datastores/redis/versions/7.0", 200),
        look("/datastores/{datastore}/versions/{version}/flavors", "/datastores/redis/versions/7.0/flavors", 200),
        look(
            "/datastores/{datastore}/versions/{version}/volume-types",
            "/datastores/redis/versions/7.0/volume-types",
            200,
        ),
        look("/datastores/versions/{version_id}", &format!("/datastores/versions/{cluster}"), 404),
        look("/volume-types", "/volume-types", 200),
        look("/volume-types/{volume_type}", "/volume-types/x", 404),
        look("/limits", "/limits", 200),
        look("/mgmt/quotas/{project}", "/mgmt/quotas/p1", 200),
        Row(Method::GET, "/mgmt/quotas/{project}", "/mgmt/quotas/p2".to_owned(), None, [403, 403, 200]),
    ]
}

fn changes(cluster: &str, member: &str) -> Vec<Row> {
    let (post, put, delete) = (Method::POST, Method::PUT, Method::DELETE);
    let (at, root) = (format!("/clusters/{cluster}"), format!("/clusters/{cluster}/root"));
    let (action, instance) = (format!("{at}/action"), format!("/instances/{member}"));
    let instance_action = format!("{instance}/action");
    let mut rows = vec![change(post.clone(), "/clusters", "/clusters", Some(ask("new", 1)), 202)];
    for (route, path) in [("/clusters/{cluster_id}", &at), ("/clusters/{cluster_id}/action", &action)] {
        let body = |action: &str, with: Value| Some(json!({action: with}));
        rows.push(change(post.clone(), route, path, body("explode", json!({})), 400));
        rows.push(Row(post.clone(), route, path.clone(), body("reset-status", json!({})), [403, 403, 202]));
        rows.push(change(post.clone(), route, path, body("reset-status", json!({"force_delete": true})), 202));
    }
    rows.extend([
        change(post.clone(), "/clusters/{cluster_id}/root", &root, None, 400),
        change(delete.clone(), "/clusters/{cluster_id}/root", &root, None, 400),
        change(post.clone(), "/instances/{instance_id}", &instance, None, 501),
        change(put.clone(), "/instances/{instance_id}", &instance, None, 501),
        change(Method::PATCH, "/instances/{instance_id}", &instance, None, 501),
        change(delete.clone(), "/instances/{instance_id}", &instance, None, 501),
        change(post, "/instances/{instance_id}/action", &instance_action, None, 501),
        change(delete, "/clusters/{cluster_id}", &at, None, 202),
    ]);
    rows
}

fn operations(cluster: &str) -> Vec<Row> {
    let (one, act) = (format!("/mgmt/clusters/{cluster}"), format!("/mgmt/clusters/{cluster}/action"));
    vec![
        operate(Method::GET, "/mgmt/clusters", "/mgmt/clusters", None, 200),
        operate(Method::GET, "/mgmt/clusters/{cluster_id}", &one, None, 200),
        operate(Method::POST, "/mgmt/clusters/{cluster_id}/action", &act, Some(json!({"reset-task": {}})), 202),
        operate(
            Method::PUT,
            "/mgmt/quotas/{project}",
            "/mgmt/quotas/p3",
            Some(json!({"quotas": {"instances": 5}})),
            200,
        ),
    ]
}

#[tokio::test]
async fn each_route_lets_in_whom_the_policy_names() {
    let service = Service::start().await;
    let cluster = service.create("target", 1).await;
    let (id, member) = (cluster["id"].as_str().unwrap(), cluster["instances"][0]["id"].as_str().unwrap());
    let mut covered = BTreeSet::new();
    let rows = [looks(id, member), operations(id), changes(id, member)];
    for Row(method, route, path, body, [reader, for_member, admin]) in rows.into_iter().flatten() {
        covered.insert((method.to_string().to_lowercase(), format!("/v1.0/{{project_id}}{route}")));
        for ((who, token, project), wanted) in CALLERS.into_iter().zip([401, 401, 403, 403, reader, for_member, admin])
        {
            let before = service.row_counts().await;
            let url = format!("/v1.0/{project}{path}");
            let answer = service.call(method.clone(), &url, token.unwrap_or_default(), body.as_ref()).await;
            assert_eq!(answer.status, wanted, "{method} {path} by {who}: {}", answer.text);
            assert!(answer.header("x-openstack-request-id").starts_with("req-"), "{method} {path}");
            assert_eq!(wanted == 401, answer.header("www-authenticate").starts_with("Keystone uri="), "{path} {who}");
            if wanted >= 400 {
                answer.fault();
                assert_eq!(service.row_counts().await, before, "{method} {path} by {who}");
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
    let (_, message) = service.call(Method::DELETE, &url, READER, None).await.fault();
    assert_eq!(
        message, "Policy doesn't allow cluster:delete to be performed.",
        "a reader reads, whatever the rule says"
    );
    assert_eq!(service.call(Method::DELETE, &url, MEMBER, None).await.status, 202);
}

#[tokio::test]
async fn an_operators_route_says_what_is_missing() {
    let service = Service::with("[policy]\n\"mgmt:cluster:index\" = \"member\"\n", false).await;
    let fault = service.get("/mgmt/clusters/416b0b16-ba55-4302-bbd3-ff566032e1c1").await.fault();
    assert_eq!(fault, ("unauthorized".to_owned(), "User does not have admin privileges.".to_owned()));
    assert_eq!(service.get("/mgmt/clusters").await.status, 200);
    let fault = service.get("/mgmt/quotas/p2").await.fault();
    assert_eq!(fault, ("forbidden".to_owned(), "Operation not allowed for tenant p1.".to_owned()));
}

#[tokio::test]
async fn an_admin_reaches_the_clusters_of_other_projects_by_their_ids() {
    let service = Service::start().await;
    let created = service.call(Method::POST, "/v1.0/p2/clusters", OTHER, Some(&ask("theirs", 1))).await;
    let id = created.json()["cluster"]["id"].as_str().unwrap().to_owned();
    let url = format!("/v1.0/p1/clusters/{id}");
    for (token, code) in [(MEMBER, 404), (ADMIN, 200)] {
        assert_eq!(service.call(Method::GET, &url, token, None).await.status, code);
    }
    let reset = json!({"reset-status": {}});
    assert_eq!(service.call(Method::POST, &url, ADMIN, Some(&reset)).await.status, 202);
    assert_eq!(service.call(Method::GET, "/v1.0/p1/clusters", ADMIN, None).await.json(), json!({"clusters": []}));
    assert_eq!(service.call(Method::DELETE, &url, MEMBER, None).await.status, 404);
    assert_eq!(service.call(Method::DELETE, &url, ADMIN, None).await.status, 202);
    let shown = service.call(Method::GET, &format!("/v1.0/p2/clusters/{id}"), OTHER, None).await.json();
    assert_eq!(shown["cluster"]["task"]["name"], "DELETING");
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
