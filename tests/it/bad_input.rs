//! Broken requests over real sockets: each is answered with a fault, nothing is written, nothing is logged as trouble.

use serde_json::{Value, json};

use crate::support::clusters::ask;
use crate::support::raw_http::{exchange, status};
use crate::support::world::World;

const JSON: &str = "content-type: application/json\r\n";

/// One broken request: what it is, method, path below the project, more headers, body, status.
type Broken = (&'static str, &'static str, &'static str, &'static str, Vec<u8>, u16);

#[test]
fn broken_requests_are_refused_and_leave_no_trace() {
    let mut world = World::embedded(|_| ());
    let description = world.stack().description().clone();
    let address = description.api.trim_start_matches("http://").to_owned();
    let before = world.database().row_counts();

    for (what, method, path, headers, body, expected) in broken() {
        let head = format!(
            "{method} /v1.0/{}{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-auth-token: {}\r\n\
             content-length: {}\r\n{headers}\r\n",
            description.project_id,
            description.token,
            body.len(),
        );
        let answer =
            exchange(&address, &[head.as_bytes(), &body].concat()).unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!(status(&answer), expected, "{what}: {answer:.600}");
        assert_fault(what, &answer, expected);
        assert_eq!(world.database().row_counts(), before, "{what}");
    }
    for (what, request) in no_http() {
        // No JSON is owed to who speaks no HTTP, but nothing may break.
        let code = exchange(&address, &request).map_or(400, |answer| status(&answer));
        assert!((400..=431).contains(&code), "{what}: {code}");
    }

    let listed = world.client().get("/clusters").unwrap();
    assert_eq!((listed.status, &listed.body["clusters"]), (200, &json!([])), "and it still serves");
    assert_eq!(world.database().row_counts(), before);
    // A good request right after shows that the table above refused what is broken and not everything.
    world.create("good", 1).wait_active();
    world.end(&[]);
}

/// A fault with its code and a sentence, and a request id to ask about.
fn assert_fault(what: &str, answer: &str, code: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("\r\nx-openstack-request-id: req-"), "{what}: {head}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {body:.200}"));
    let fault = body.as_object().and_then(|faults| faults.values().next()).cloned().unwrap_or_default();
    assert_eq!(fault["code"], code, "{what}: {body}");
    let message = fault["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty() && message.len() < 1_000, "{what}: {message}");
}

fn broken() -> Vec<Broken> {
    let post = |what, body: Vec<u8>, status| (what, "POST", "/clusters", JSON, body, status);
    let mut table = vec![
        post("10 MB", vec![b'x'; 10 * 1024 * 1024], 413),
        post("10 MB of JSON", format!("{{\"cluster\": \"{}\"}}", "y".repeat(10 * 1024 * 1024)).into_bytes(), 413),
        post("brackets without end", vec![b'['; 200_000], 400),
        post("deep objects", [b"{\"cluster\":".repeat(5_000), b"1".to_vec(), b"}".repeat(5_000)].concat(), 400),
        post("half a JSON", b"{\"cluster\": {\"name\": \"a".to_vec(), 400),
        post("nothing", Vec::new(), 400),
        post("no object", b"[1, 2]".to_vec(), 400),
        post("no text", b"\xff\xfe\x00".to_vec(), 400),
        ("no content type", "POST", "/clusters", "", b"{}".to_vec(), 400),
        ("another content type", "POST", "/clusters", "content-type: text/xml\r\n", b"<x/>".to_vec(), 415),
        ("a wrong method", "PUT", "/clusters", JSON, b"{}".to_vec(), 405),
        ("a made-up method", "BREW", "/clusters", "", Vec::new(), 405),
        ("an unknown path", "GET", "/nowhere", "", Vec::new(), 404),
        ("an id that is none", "GET", "/clusters/%00%2e%2e%2f", "", Vec::new(), 404),
        ("a delete of nothing", "DELETE", "/clusters/416b0b16-ba55-4302-bbd3-ff566032e1c1", "", Vec::new(), 404),
        ("a page of no size", "GET", "/clusters?limit=-1", "", Vec::new(), 400),
        ("a marker that is none", "GET", "/clusters?marker=x%27%20OR%201=1", "", Vec::new(), 400),
    ];
    table.extend(
        broken_clusters().into_iter().map(|(what, body, status)| post(what, body.to_string().into_bytes(), status)),
    );
    table
}

/// Bodies that are JSON and no cluster.
fn broken_clusters() -> Vec<(&'static str, Value, u16)> {
    let member = || json!({"flavorRef": "1", "volume": {"size": 1}});
    let with = |pointer: &str, value: Value| {
        let mut body = ask("c", 2);
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let size = "/cluster/instances/1/volume/size";
    vec![
        ("1001 members", with("/cluster/instances", json!(vec![member(); 1001])), 400),
        ("no members", with("/cluster/instances", json!([])), 400),
        ("members that are no list", with("/cluster/instances", json!({"0": member()})), 400),
        ("a name of 256 characters", with("/cluster/name", json!("x".repeat(256))), 400),
        ("a name of blanks", with("/cluster/name", json!("  \t ")), 400),
        ("a name that is a number", with("/cluster/name", json!(7)), 400),
        ("a size that is huge", with(size, json!("9".repeat(60))), 400),
        ("a size beyond all integers", with(size, json!(1e300)), 400),
        ("a negative size", with(size, json!(-1)), 400),
        ("a size of nothing", with(size, json!(0)), 400),
        ("a volume that is null", with("/cluster/instances/1/volume", Value::Null), 400),
        ("a member without a flavor", with("/cluster/instances/1", json!({"volume": {"size": 1}})), 403),
        ("a flavor that is not there", with("/cluster/instances/1/flavorRef", json!("99")), 404),
        ("two flavors", with("/cluster/instances/1/flavorRef", json!("2")), 400),
        ("two sizes", with(size, json!(2)), 400),
        ("a datastore that is not there", with("/cluster/datastore/type", json!("mysql")), 404),
        ("no cluster at all", json!({"clusters": {}}), 400),
    ]
}

/// What is no request.
fn no_http() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on\r\n\r\n".to_vec()),
        ("a header without end", [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 1024 * 1024]].concat()),
        ("another version", b"GET / HTTP/9.9\r\n\r\n".to_vec()),
    ]
}
