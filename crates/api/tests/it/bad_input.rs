//! Whatever is sent, the answer is a fault that names what is wrong, and nothing is written.

use axum::http::Method;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{Service, ask};

#[tokio::test]
async fn each_refusal_has_its_code_and_sentence_and_writes_nothing() {
    let service = Service::start().await;
    let before = service.row_counts().await;
    let no_flavor = "A flavor is required for each instance in the cluster.";
    for (pointer, value, code, name, part) in [
        ("/cluster/name", json!("   "), 400, "badRequest", "cluster.name"),
        ("/cluster/name", json!("x".repeat(256)), 400, "badRequest", "cluster.name"),
        ("/cluster/instances", json!([]), 400, "badRequest", "cluster.instances"),
        (
            "/cluster/instances",
            json!(vec![json!({"flavorRef": 1, "volume": {"size": 1}}); 1001]),
            400,
            "badRequest",
            "cluster.instances",
        ),
        ("/cluster/instances/0/volume/size", json!(-1), 400, "badRequest", "cluster.instances[0].volume.size"),
        ("/cluster/instances/1", json!({"volume": {"size": 2}}), 403, "forbidden", no_flavor),
        ("/cluster/instances/1/flavorRef", json!("9"), 404, "itemNotFound", "Flavor not found"),
        ("/cluster/instances/1/flavorRef", json!("2"), 400, "badRequest", "The flavor for each instance"),
        ("/cluster/instances/1/volume/size", json!(3), 400, "badRequest", "The volume size for each instance"),
        ("/cluster/instances/1", json!({"flavorRef": "1"}), 400, "badRequest", "A volume size is required"),
        ("/cluster/instances/1/volume/size", json!(11), 413, "overLimit", "cannot exceed maximum of 10 Gb"),
        ("/cluster/instances/1/volume/size", json!("9".repeat(40)), 413, "overLimit", "cannot exceed maximum of 10 Gb"),
        ("/cluster/datastore/type", json!("mysql"), 404, "itemNotFound", "Datastore 'mysql' cannot be found."),
        ("/cluster/datastore/version", json!("9"), 400, "badRequest", "Datastore version '9' cannot be found."),
        (
            "/cluster/datastore/version",
            json!("416b0b16-ba55-4302-bbd3-ff566032e1c1"),
            404,
            "itemNotFound",
            "cannot be found.",
        ),
    ] {
        let mut body = ask("c", 2);
        *body.pointer_mut(pointer).unwrap() = value;
        let answer = service.post("/clusters", &body).await;
        let (fault, message) = answer.fault();
        assert_eq!((answer.status.as_u16(), fault.as_str()), (code, name), "{pointer}: {message}");
        assert!(message.contains(part), "{pointer}: {message}");
    }
    for (key, value) in [("locality", json!("near")), ("configuration", json!("416b0b16-ba55-4302-bbd3-ff566032e1c1"))]
    {
        let mut body = ask("c", 1);
        body["cluster"][key] = value;
        assert_eq!(service.post("/clusters", &body).await.status, 400, "{key}");
    }
    assert_eq!(service.row_counts().await, before);
}

#[tokio::test]
async fn names_of_every_script_come_back_as_they_were_sent() {
    let service = Service::start().await;
    for name in [" padded ", "größe 😀", "集群", "A", "a", &"é".repeat(255)] {
        let cluster = service.create(name, 1).await;
        assert_eq!(cluster["name"], name);
        assert_eq!(cluster["instances"][0]["name"], format!("{name}-member-1"));
    }
}

#[tokio::test]
async fn a_thousand_members_are_taken() {
    let service = Service::start().await;
    let cluster = service.create("thousand", 1000).await;
    assert_eq!(cluster["instances"].as_array().unwrap().len(), 1000);
}

/// Any JSON.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "1", "2", "redis", "7.0", "affinity", "http://x/1", "\u{0}", "9999999999999999"])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec!["cluster", "name", "datastore", "instances", "type", "version", "size"]),
            prop::sample::select(vec!["flavorRef", "volume", "nics", "modules", "id", "locality", "configuration"]),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A good body in which something was replaced by anything.
fn mutilated() -> impl Strategy<Value = Value> {
    let pointers = vec![
        "/cluster/name",
        "/cluster/datastore",
        "/cluster/datastore/type",
        "/cluster/datastore/version",
        "/cluster/instances",
        "/cluster/instances/0",
        "/cluster/instances/0/flavorRef",
        "/cluster/instances/1/volume",
        "/cluster/instances/1/volume/size",
    ];
    let extra = prop::sample::select(vec!["nics", "modules", "availability_zone", "region_name", "region", "type"]);
    (prop::sample::select(pointers), anything(), extra, prop::option::of(anything())).prop_map(
        |(pointer, value, key, more)| {
            let mut body = ask("c", 2);
            if let Some(more) = more {
                body["cluster"]["instances"][1][key] = more;
            }
            *body.pointer_mut(pointer).unwrap() = value;
            body
        },
    )
}

#[tokio::test]
async fn no_json_at_all_is_the_servers_mistake_and_no_refusal_writes_anything() {
    let service = Service::start().await;
    let mut runner = TestRunner::deterministic();
    let bodies = prop_oneof![1 => anything(), 3 => mutilated()];
    let mut refused = 0;
    for _ in 0..400 {
        let body = bodies.new_tree(&mut runner).unwrap().current();
        let before = service.row_counts().await;
        let answer = service.post("/clusters", &body).await;
        assert!(answer.status.as_u16() < 500, "{body}: {}", answer.text);
        if answer.status == 202 {
            continue;
        }
        refused += 1;
        answer.fault();
        assert_eq!(service.row_counts().await, before, "{body}");
    }
    assert!(refused > 200, "only {refused} of 400 were refused");
}

#[tokio::test]
async fn no_action_at_all_is_the_servers_mistake() {
    let service = Service::start().await;
    let cluster = service.create("c", 1).await;
    let path = format!("/v1.0/p1/clusters/{}", cluster["id"].as_str().unwrap());
    let mut runner = TestRunner::deterministic();
    for _ in 0..100 {
        let body = anything().new_tree(&mut runner).unwrap().current();
        let answer = service.call(Method::POST, &path, crate::support::MEMBER, Some(&body)).await;
        assert_eq!((answer.status.as_u16(), answer.fault().0.as_str()), (400, "badRequest"), "{body}");
    }
}
