//! The blueprint's own requests and responses, field by field: "Redis Clustering", a specification of Trove.
//!
//! They are in `blueprint/`, with these of its slips mended: commas too many and a brace too few; an `ip` inside of a
//! flavor; a comma that is missing; flavor 7 of what was asked for with flavor 2; ids that two members share; members
//! that still build in a cluster without a task; a grow whose task is "Building the initial cluster". `[{...}]` is `[{}]`.

mod documented;

use redtrove_testkit::http::{Answer, Client};
use serde_json::{Value, json};

use self::documented::Documented;
use crate::support::leftovers;
use crate::support::until;
use crate::support::world::World;

/// An id that nothing has.
const NOBODY: &str = "0f0a3b52-5b7c-4b8a-9a52-7f0d9f3c2b11";

macro_rules! example {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("blueprint/", $name, ".json"))).unwrap()
    };
}

#[test]
fn every_example_gets_the_documented_code_and_fields() {
    let world = World::embedded(|_| ());
    // A version is a label that operators choose; this is the blueprint's.
    world.taskmanager(&["datastore", "add", "redis", "3.0", "--engine", "redis"]);
    let client = world.client();
    let mut documented = Documented::default();

    let created = client.post("/clusters", &example!("create_request")).unwrap();
    documented.holds(&example!("create_response"), &created.expect_status(202).unwrap());
    let cluster = documented.ids(&json!("/clusters/edaac9ca-b5e1-4028-adb7-fa7653e11224"));
    let cluster = cluster.as_str().unwrap().to_owned();
    let action = format!("{cluster}/action");
    wait_idle(&client, &cluster);

    let show = |path: &str| client.get(path).unwrap().expect_status(200).unwrap();
    documented.holds(&example!("show_response"), &show(&cluster));
    let member = documented.ids(&json!("/instances/416b0b16-ba55-4302-bbd3-ff566032e1c1"));
    let member = format!("{cluster}{}", member.as_str().unwrap());
    until("the used space to be known", || show(&member)["instance"]["volume"]["used"].is_number());
    documented.holds(&example!("show_instance_response"), &show(&member));
    documented.holds(&example!("list_response"), &show("/clusters"));

    let grown = client.post(&action, &example!("grow_request")).unwrap();
    documented.holds(&example!("grow_response"), &grown.expect_status(202).unwrap());
    wait_idle(&client, &cluster);
    refused_actions(&client, &action, &documented);
    let leavers = documented.ids(&example!("shrink_request"));
    assert_empty(&client.post(&action, &leavers).unwrap());
    wait_idle(&client, &cluster);
    documented.holds(&example!("show_response"), &show(&cluster));

    world.check_logs(&[]);
    assert_empty(&client.delete(&cluster).unwrap());
    until("the cluster to be gone", || client.get(&cluster).unwrap().status == 404);
    refused_for_nobody(&client, &member);
    let held = || world.database().number("SELECT COUNT(*) FROM removed_nodes");
    until("the addresses of those who left to be free", || held() == 0);
    leftovers::assert_none(&world);
    world.end(&[]);
}

/// A create or a grow is refused for the same reasons.
#[test]
fn what_cannot_be_made_gets_the_documented_code() {
    let mut world = World::embedded(|_| ());
    world.taskmanager(&["datastore", "add", "redis", "3.0", "--engine", "redis"]);
    let client = world.client();
    refused_create(&client, "/cluster/name", Some(json!(7)), 400, "badRequest", "Validation error: cluster.name: ");
    refused_create(
        &client,
        "/cluster/instances/3/flavorRef",
        None,
        403,
        "forbidden",
        "A flavor is required for each instance in the cluster.",
    );
    refused_create(
        &client,
        "/cluster/instances/3/flavorRef",
        Some(json!("77")),
        404,
        "itemNotFound",
        "Flavor not found",
    );
    assert_eq!(client.get("/clusters").unwrap().expect_status(200).unwrap(), json!({"clusters": []}));
    world.end(&[]);

    let local = json!({"redis": {"volume_support": false}});
    world = World::embedded(|options| (options.api, options.taskmanager) = (local.clone(), local));
    world.taskmanager(&["datastore", "add", "redis", "3.0", "--engine", "redis"]);
    let mut request = example!("create_request");
    for instance in request["cluster"]["instances"].as_array_mut().unwrap() {
        instance.as_object_mut().unwrap().remove("volume");
    }
    let refused = world.client().post("/clusters", &request).unwrap();
    assert_refused(&refused, 403, "forbidden", "Local storage not specified in flavor ID: 2.");
    world.end(&[]);
}

/// The blueprint's create, in which one thing is another or is not there, is refused.
fn refused_create(client: &Client, pointer: &str, value: Option<Value>, code: u16, name: &str, message: &str) {
    let mut request = example!("create_request");
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = request.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    assert_refused(&client.post("/clusters", &request).unwrap(), code, name, message);
}

/// What grow and shrink of a cluster that is there may not do.
fn refused_actions(client: &Client, action: &str, documented: &Documented) {
    let refused = |body: Value, code, name, message: &str| {
        assert_refused(&client.post(action, &body).unwrap(), code, name, message);
    };
    let volume = json!({"size": 2});
    refused(json!({"grow": [{}]}), 403, "forbidden", "A flavor is required for each instance in the cluster.");
    refused(json!({"grow": [{"flavorRef": "77", "volume": volume}]}), 404, "itemNotFound", "Flavor not found");
    refused(json!({"grow": 2}), 400, "badRequest", "Validation error: grow: ");
    let with_slots = documented.ids(&json!({"shrink": [{"id": "965ef811-7c1d-47fc-89f2-a89dfdd23ef2"}]}));
    refused(with_slots, 403, "forbidden", "One or more nodes have data slots assigned");
    let stranger = format!("Instance {NOBODY} does not exist.");
    refused(json!({"shrink": [{"id": NOBODY}]}), 404, "itemNotFound", &stranger);
}

/// What is asked of a cluster or a member that is no more.
fn refused_for_nobody(client: &Client, member: &str) {
    let cluster = format!("/clusters/{NOBODY}");
    let message = format!("Cluster '{NOBODY}' cannot be found.");
    assert_refused(&client.get(&cluster).unwrap(), 404, "itemNotFound", &message);
    assert_refused(&client.delete(&cluster).unwrap(), 404, "itemNotFound", &message);
    assert_refused(&client.get(member).unwrap(), 404, "itemNotFound", "Cluster '");
}

fn assert_refused(answer: &Answer, code: u16, name: &str, message: &str) {
    let fault = &answer.body[name];
    assert_eq!((answer.status, &fault["code"]), (code, &json!(code)), "{answer:?}");
    assert!(fault["message"].as_str().is_some_and(|said| said.starts_with(message)), "{answer:?}");
}

/// Accepted, with nothing to say.
fn assert_empty(answer: &Answer) {
    assert_eq!((answer.status, &answer.body), (202, &Value::Null), "{answer:?}");
}

/// Waits until the cluster has no task and all its members serve.
fn wait_idle(client: &Client, cluster: &str) {
    until("the cluster to be idle", || {
        let shown = client.get(cluster).unwrap().body["cluster"].clone();
        assert!(shown.get("fault").is_none(), "{shown}");
        let members = shown["instances"].as_array().unwrap();
        shown["task"]["id"] == 1 && members.iter().all(|member| member["status"] == "ACTIVE")
    });
}
