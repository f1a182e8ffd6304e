//! Every refusal of the blueprint and of Trove's contract: condition, code, name of the fault, message. And that a
//! request which is refused leaves no row and changes none.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{MEMBER, READER, Service, ask};

/// An id that nothing has.
const NOBODY: &str = "edaac9ca-b5e1-4028-adb7-fa7653e11224";

/// One refusal: the condition, how it is asked for, the code and the message.
struct Row(&'static str, Ask, u16, String);

/// How something is asked for.
struct Ask {
    method: Method,
    path: String,
    token: &'static str,
    body: Option<Value>,
}

/// The name of a fault by its code: Trove's table.
fn name(code: u16) -> &'static str {
    match code {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        413 => "overLimit",
        422 => "unprocessableEntity",
        501 => "notImplemented",
        other => panic!("{other}"),
    }
}

fn by_member(method: Method, path: impl Into<String>, body: Option<Value>) -> Ask {
    Ask { method, path: format!("/v1.0/p1{}", path.into()), token: MEMBER, body }
}

fn get(condition: &'static str, path: impl Into<String>, code: u16, message: impl Into<String>) -> Row {
    Row(condition, by_member(Method::GET, path, None), code, message.into())
}

fn post(condition: &'static str, path: &str, body: Value, code: u16, message: impl Into<String>) -> Row {
    Row(condition, by_member(Method::POST, path, Some(body)), code, message.into())
}

/// A create of two members in which one thing is another, or is left out.
fn create(condition: &'static str, pointer: &str, value: Option<Value>, code: u16, message: impl Into<String>) -> Row {
    let mut body = ask("refused", 2);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    post(condition, "/clusters", body, code, message)
}

/// Asks for each, and looks that nothing was written.
async fn check(service: &Service, rows: Vec<Row>) {
    let before = (service.row_counts().await, service.contents().await);
    for Row(condition, asked, code, message) in rows {
        let answer = service.call(asked.method, &asked.path, asked.token, asked.body.as_ref()).await;
        let wanted = (code, (name(code).to_owned(), message));
        assert_eq!((answer.status.as_u16(), answer.fault()), wanted, "{condition}");
        assert_eq!((service.row_counts().await, service.contents().await), before, "{condition}");
    }
}

/// A service with a cluster that is free, one that is being built, and one of another project; their ids and those of
/// the first one's members.
async fn world(settings: &str) -> (Service, String, String, String, Vec<String>) {
    let service = Service::with(settings, false).await;
    let id = |cluster: &Value| cluster["id"].as_str().unwrap().to_owned();
    let free = service.create("free", 2).await;
    let members = free["instances"].as_array().unwrap().iter().map(id).collect();
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    service.sql("UPDATE instances SET lifecycle = 'complete'").await;
    let busy = service.create("busy", 1).await;
    let theirs = service.call(Method::POST, "/v1.0/p2/clusters", crate::support::OTHER, Some(&ask("theirs", 1))).await;
    let theirs = id(&theirs.json()["cluster"]);
    (service, id(&free), id(&busy), theirs, members)
}

fn no_cluster(id: &str) -> String {
    format!("Cluster '{id}' cannot be found.")
}

/// What can be wrong with a create.
fn creates() -> Vec<Row> {
    let first = |key: &str| format!("/cluster/instances/0/{key}");
    let second = |key: &str| format!("/cluster/instances/1/{key}");
    let module = json!([{"id": NOBODY}]);
    let net = |last: u8| json!([{"net-id": format!("edaac9ca-b5e1-4028-adb7-fa7653e1122{last}")}]);
    let mut nets = ask("refused", 2);
    (nets["cluster"]["instances"][0]["nics"], nets["cluster"]["instances"][1]["nics"]) = (net(1), net(2));
    vec![
        create("no name", "/cluster/name", None, 400, "Validation error: cluster.name: is required"),
        create(
            "no members",
            "/cluster/instances",
            Some(json!([])),
            400,
            "Validation error: cluster.instances: must have 1 to 1000 instances, not 0",
        ),
        create("no flavor", &second("flavorRef"), None, 403, "A flavor is required for each instance in the cluster."),
        create("an unknown flavor", &first("flavorRef"), Some(json!("9")), 404, "Flavor not found: '9'."),
        create(
            "flavors that differ",
            &second("flavorRef"),
            Some(json!("2")),
            400,
            "The flavor for each instance in a cluster must be the same.",
        ),
        create(
            "no volume",
            &second("volume"),
            None,
            400,
            "A volume size is required for each instance in the cluster.",
        ),
        create(
            "no size",
            &second("volume"),
            Some(json!({})),
            400,
            "Validation error: cluster.instances[1].volume.size: is required",
        ),
        create(
            "volumes that differ",
            &second("volume"),
            Some(json!({"size": 3})),
            400,
            "The volume size for each instance in a cluster must be the same.",
        ),
        create(
            "too large a volume",
            &second("volume"),
            Some(json!({"size": 11})),
            413,
            "Volume 'size' cannot exceed maximum of 10 Gb, 11 cannot be accepted.",
        ),
        post(
            "networks that differ",
            "/clusters",
            nets,
            400,
            "The network for each instance in a cluster must be the same.",
        ),
        create("an unknown module", &first("modules"), Some(module), 404, format!("Module {NOBODY} cannot be found.")),
        create(
            "an unknown datastore",
            "/cluster/datastore/type",
            Some(json!("mysql")),
            404,
            "Datastore 'mysql' cannot be found.",
        ),
        create(
            "an unknown version",
            "/cluster/datastore/version",
            Some(json!("9")),
            400,
            "Datastore version '9' cannot be found.",
        ),
        create(
            "an unknown id of a version",
            "/cluster/datastore/version",
            Some(json!(NOBODY)),
            404,
            format!("Datastore version '{NOBODY}' cannot be found."),
        ),
        create(
            "an inactive version",
            "/cluster/datastore/version",
            Some(json!("3.0")),
            400,
            "Datastore version '3.0' is not active.",
        ),
        create(
            "an unknown locality",
            "/cluster/locality",
            Some(json!("near")),
            400,
            "Invalid locality 'near'. Must be one of ['affinity', 'anti-affinity'].",
        ),
        create(
            "a configuration group",
            "/cluster/configuration",
            Some(json!(NOBODY)),
            400,
            "Configuration groups not supported by the datastore.",
        ),
    ]
}

/// What can be wrong with a look or a delete.
fn looks(free: &str, theirs: &str, members: &[String]) -> Vec<Row> {
    let delete = |condition, id: &str| {
        Row(condition, by_member(Method::DELETE, format!("/clusters/{id}"), None), 404, no_cluster(id))
    };
    let resource = |id: &str| format!("Resource {id} cannot be found.");
    vec![
        get("an unknown cluster", format!("/clusters/{NOBODY}"), 404, no_cluster(NOBODY)),
        get("another project's cluster", format!("/clusters/{theirs}"), 404, no_cluster(theirs)),
        get("no id at all", "/clusters/7", 404, no_cluster("7")),
        delete("a delete of an unknown cluster", NOBODY),
        delete("a delete of another project's cluster", theirs),
        get(
            "a member of an unknown cluster",
            format!("/clusters/{NOBODY}/instances/{}", members[0]),
            404,
            no_cluster(NOBODY),
        ),
        get("an unknown member", format!("/clusters/{free}/instances/{NOBODY}"), 404, resource(NOBODY)),
        get("an unknown instance", format!("/instances/{NOBODY}"), 404, resource(NOBODY)),
        get("an unknown flavor's page", "/flavors/9", 404, resource("9")),
        get("an unknown datastore's page", "/datastores/mysql", 404, "Datastore 'mysql' cannot be found."),
        get("a version's page", "/datastores/redis/versions/9", 404, "Datastore version '9' cannot be found."),
        get("a bad limit", "/clusters?limit=x", 400, "The parameter limit must be an integer of at least 1, not 'x'."),
        get(
            "a bad marker",
            "/clusters?marker=x",
            400,
            "The parameter marker must be the id of the last entry seen, not 'x'.",
        ),
        get("a path to nowhere", "/nowhere", 404, "The resource could not be found."),
        Row(
            "a wrong method",
            by_member(Method::PUT, "/clusters", None),
            405,
            "The method PUT is not allowed for this resource.".to_owned(),
        ),
        Row(
            "no token",
            Ask { token: "", ..by_member(Method::GET, "/clusters", None) },
            401,
            "A token is required (X-Auth-Token).".to_owned(),
        ),
        Row(
            "a bad token",
            Ask { token: "x", ..by_member(Method::GET, "/clusters", None) },
            401,
            "The token is not valid.".to_owned(),
        ),
        Row(
            "a token of another project",
            Ask { path: "/v1.0/p2/clusters".to_owned(), ..by_member(Method::GET, "", None) },
            403,
            "User with tenant id p1 cannot access this resource.".to_owned(),
        ),
        Row(
            "a reader who writes",
            Ask { token: READER, ..by_member(Method::POST, "/clusters", Some(ask("c", 1))) },
            403,
            "Policy doesn't allow cluster:create to be performed.".to_owned(),
        ),
        get("an operator's route", "/mgmt/clusters", 401, "User does not have admin privileges."),
        get("another project's quotas", "/mgmt/quotas/p2", 403, "Operation not allowed for tenant p1."),
    ]
}

/// What can be wrong with a grow or a shrink.
fn scalings(free: &str, busy: &str, theirs: &str, members: &[String]) -> Vec<Row> {
    let busy_now = "This action cannot be performed on the cluster while the current cluster task is 'BUILDING'.";
    let good = json!({"flavorRef": "1", "volume": {"size": 2}});
    let grow = |members: Value| json!({ "grow": members });
    let shrink = |ids: &[&str]| json!({"shrink": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()});
    let mut rows = Vec::new();
    for path in [format!("/clusters/{free}"), format!("/clusters/{free}/action")] {
        let mut refused = |condition, body: Value, code, message: &str| {
            rows.push(post(condition, &path, body, code, message));
        };
        refused(
            "a grow by nothing",
            grow(json!([])),
            400,
            "Validation error: grow: must have 1 to 1000 instances, not 0",
        );
        refused(
            "a grow that is no list",
            grow(json!({})),
            400,
            "Validation error: grow: invalid type: map, expected a sequence",
        );
        refused(
            "a grow without flavor",
            grow(json!([good, {"volume": {"size": 2}}])),
            403,
            "A flavor is required for each instance in the cluster.",
        );
        refused(
            "a grow of an unknown flavor",
            grow(json!([{"flavorRef": "9", "volume": {"size": 2}}])),
            404,
            "Flavor not found: '9'.",
        );
        refused(
            "a grow without volume",
            grow(json!([{"flavorRef": "1"}])),
            400,
            "A volume size is required for each instance in the cluster.",
        );
        refused(
            "a grow without size",
            grow(json!([{"flavorRef": "1", "volume": {}}])),
            400,
            "Validation error: grow[0].volume.size: is required",
        );
        refused(
            "a grow of members that differ",
            grow(json!([good, {"flavorRef": "2", "volume": {"size": 2}}])),
            400,
            "The flavor for each instance in a cluster must be the same.",
        );
        refused(
            "a grow past what a cluster has",
            grow(json!(vec![good.clone(); 999])),
            400,
            "A cluster can have 1000 instances at most, not 1001.",
        );
        refused(
            "a shrink of nobody",
            shrink(&[]),
            400,
            "Validation error: shrink: must have 1 to 1000 instances, not 0",
        );
        refused("a shrink without id", json!({"shrink": [{}]}), 400, "Validation error: shrink[0].id: is required");
        refused("a shrink by name", shrink(&["x"]), 400, "Validation error: shrink[0].id: 'x' is not an instance id");
        refused("a shrink of a stranger", shrink(&[NOBODY]), 404, &format!("Instance {NOBODY} does not exist."));
        refused(
            "a shrink of one of ours and a stranger",
            shrink(&[&members[0], NOBODY]),
            404,
            &format!("Instance {NOBODY} does not exist."),
        );
        refused(
            "a shrink to nothing",
            shrink(&[&members[0], &members[1]]),
            400,
            "Must leave at least one instance in the cluster when shrinking.",
        );
    }
    for body in [grow(json!([good])), shrink(&[&members[0]])] {
        rows.push(post("a busy cluster", &format!("/clusters/{busy}"), body.clone(), 422, busy_now));
        for id in [NOBODY, theirs] {
            rows.push(post("nobody's cluster", &format!("/clusters/{id}"), body.clone(), 404, no_cluster(id)));
        }
    }
    rows
}

/// What can be wrong with actions on clusters and on members.
fn actions(free: &str, busy: &str, theirs: &str, members: &[String]) -> Vec<Row> {
    let of_members = "Operation not supported for instances that are part of a cluster.";
    let at = |id: &str| format!("/clusters/{id}");
    let exactly = "Action request should have exactly one action specified in body";
    let root = |condition, method, operation: &str| {
        let message = format!("The '{operation}' operation is not supported for cluster.");
        Row(condition, by_member(method, format!("/clusters/{free}/root"), None), 400, message)
    };
    let member = |condition, method, path: &str| {
        Row(condition, by_member(method, format!("/instances/{}{path}", members[0]), None), 501, of_members.to_owned())
    };
    let mut rows = vec![
        root("root shown", Method::GET, "show_root"),
        root("root enabled", Method::POST, "enable_root"),
        root("root disabled", Method::DELETE, "disable_root"),
        member("a member's action", Method::POST, "/action"),
        member("a member's resize", Method::POST, ""),
        member("a member's delete", Method::DELETE, ""),
        post(
            "a reset by a member",
            &at(busy),
            json!({"reset-status": {}}),
            403,
            "Policy doesn't allow cluster:reset-status to be performed.",
        ),
    ];
    for path in [at(free), format!("{}/action", at(free))] {
        for (condition, body, message) in [
            ("no action", json!({}), exactly),
            ("two actions", json!({"grow": [], "shrink": []}), exactly),
            ("an unknown action", json!({"explode": {}}), "Action explode not supported"),
            ("an upgrade", json!({"upgrade": {"datastore_version": "7.2"}}), "Action 'upgrade' not supported"),
            ("a restart", json!({"restart": {}}), "Action 'restart' not supported"),
            ("a shard", json!({"add_shard": {}}), "Action add_shard not supported"),
            (
                "a configuration",
                json!({"configuration_attach": {"configuration_id": NOBODY}}),
                "Action 'configuration_attach' not supported",
            ),
            ("none", json!({"configuration_detach": {}}), "Action 'configuration_detach' not supported"),
        ] {
            rows.push(post(condition, &path, body, 400, message));
        }
    }
    for id in [NOBODY, theirs] {
        rows.push(post("an action on nobody's cluster", &at(id), json!({"grow": []}), 404, no_cluster(id)));
    }
    rows
}

#[tokio::test]
async fn every_refusal_has_its_code_name_and_message_and_writes_nothing() {
    let (service, free, busy, theirs, members) = world("").await;
    service.sql("UPDATE datastore_versions SET active = 0 WHERE name = '3.0'").await;
    check(&service, creates()).await;
    check(&service, looks(&free, &theirs, &members)).await;
    check(&service, actions(&free, &busy, &theirs, &members)).await;
    check(&service, scalings(&free, &busy, &theirs, &members)).await;
    let foreign = service.call(Method::GET, &format!("/v1.0/p2/clusters/{theirs}"), crate::support::OTHER, None).await;
    let foreign = foreign.json()["cluster"]["instances"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({"shrink": [{"id": foreign}]});
    let message = format!("Instance {foreign} does not exist.");
    check(&service, vec![post("another cluster's member", &format!("/clusters/{free}"), body, 404, message)]).await;
}

#[tokio::test]
async fn what_an_installation_does_not_do_is_501_and_what_a_project_may_not_have_413() {
    let clusters = Service::with("[redis]\ncluster_support = false\n", false).await;
    let off = "Clusters not supported for redis-7.0.";
    check(&clusters, vec![post("clusters switched off", "/clusters", ask("c", 1), 501, off)]).await;

    let volumes = Service::with("[redis]\nvolume_support = false\n", false).await;
    let body =
        |instance: Value| json!({"cluster": {"name": "c", "datastore": {"type": "redis"}, "instances": [instance]}});
    let rows = vec![
        post(
            "a volume without volumes",
            "/clusters",
            body(json!({"flavorRef": "2", "volume": {"size": 1}})),
            501,
            "Volume support is not enabled.",
        ),
        post(
            "no local storage",
            "/clusters",
            body(json!({"flavorRef": "1"})),
            403,
            "Local storage not specified in flavor ID: 1.",
        ),
    ];
    check(&volumes, rows).await;

    let quota = Service::with("[quota]\nmax_instances_per_tenant = 2\nmax_volumes_per_tenant = 5\n", false).await;
    let over = |resources: &str| format!("Quota exceeded for resources: [{resources}].");
    let mut large = ask("c", 2);
    for member in large["cluster"]["instances"].as_array_mut().unwrap() {
        member["volume"]["size"] = json!(3);
    }
    let rows = vec![
        post("too many instances and volumes", "/clusters", ask("c", 3), 413, over("'instances', 'volumes'")),
        post("too much of volumes", "/clusters", large, 413, over("'volumes'")),
    ];
    check(&quota, rows).await;
}
