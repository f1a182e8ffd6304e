//! Clusters of one to seven members are made, used, shown and deleted, in a deep private directory, with a broker.

use std::collections::BTreeSet;
use std::path::Path;

use redtrove_testkit::http::Client;
use redtrove_testkit::redis;
use serde_json::{Value, json};

use crate::support::clusters::Cluster;
use crate::support::world::World;
use crate::support::{keys, leftovers, until};

/// Deeper than the 108 bytes that the path of a unix socket may have.
const DEEP: &str = "a-private-place/with-a-long-name/below-another-one/and-another-one/so-that-no-socket-fits/stack";

#[test]
fn clusters_of_one_to_seven_members_live_and_leave_nothing() {
    let world = World::with_broker_in(Path::new(DEEP), |_| ());
    let sizes = [1, 2, 3, 5, 7];
    let clusters = sizes.map(|size| world.create(&format!("with-{size}"), size));
    for (cluster, size) in clusters.iter().zip(sizes) {
        let shown = cluster.wait_active();
        assert_shown(&shown, &format!("with-{size}"), size);
        cluster.assert_slots_even();
        let members = cluster.addresses();
        keys::write_and_read(&members, "key-", 100);
        for (n, member) in members.iter().enumerate() {
            let (key, value) = (format!("cli-{n}"), format!("value-{n}"));
            assert_eq!(redis::cli(*member, &["-c"], &["set", &key, &value]).unwrap(), "OK");
            assert_eq!(redis::cli(members[0], &["-c"], &["get", &key]).unwrap(), value);
        }
    }
    let client = world.client();
    assert_pages(&client, &clusters);
    assert_instance_shown(&client, &clusters[2]);

    world.check_logs(&[]);
    clusters.iter().for_each(Cluster::delete);
    clusters.iter().for_each(Cluster::wait_gone);
    leftovers::assert_none(&world);
    assert_eq!(client.get("/clusters").unwrap().body["clusters"], json!([]));
    world.end(&[]);
}

/// The blueprint's fields of a cluster.
fn assert_shown(shown: &Value, name: &str, size: usize) {
    assert_eq!(shown["name"], name);
    assert_eq!(shown["task"]["id"], 1);
    assert_eq!(shown["datastore"], json!({"type": "redis", "version": "7.0"}));
    assert_eq!(shown["links"].as_array().unwrap().len(), 2);
    assert!(shown.get("operation").is_none_or(Value::is_null), "{shown}");
    let members = shown["instances"].as_array().unwrap();
    assert_eq!(members.len(), size);
    for (n, member) in (1..).zip(members) {
        assert_eq!((&member["name"], &member["type"]), (&json!(format!("{name}-member-{n}")), &json!("member")));
        assert_eq!((&member["flavor"]["id"], &member["volume"]["size"]), (&json!("1"), &json!(1)));
    }
    let of_members: BTreeSet<&str> = members.iter().map(|member| member["ip"][0].as_str().unwrap()).collect();
    let of_cluster: BTreeSet<&str> = shown["ip"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap()).collect();
    assert_eq!((of_members.len(), &of_members), (size, &of_cluster), "an address each, all listed");
}

/// Pages of two, by the links that the answers carry, show every cluster once.
fn assert_pages(client: &Client, clusters: &[Cluster]) {
    let (mut seen, mut path) = (Vec::new(), "/clusters?limit=2".to_owned());
    let mut pages = 0;
    loop {
        let page = client.get(&path).unwrap().expect_status(200).unwrap();
        let items = page["clusters"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        let links = page["links"].as_array().cloned().unwrap_or_default();
        let Some(next) = links.iter().find(|link| link["rel"] == "next") else { break };
        let href = next["href"].as_str().unwrap();
        path = href[href.find("/clusters?").expect("a link to the same list")..].to_owned();
    }
    let mut wanted: Vec<String> = clusters.iter().map(|cluster| cluster.id.clone()).collect();
    wanted.sort();
    assert_eq!((seen, pages), (wanted, 3));
}

fn assert_instance_shown(client: &Client, cluster: &Cluster) {
    let member = cluster.look().unwrap()["instances"][0].clone();
    let path = format!("{}/instances/{}", cluster.path(), member["id"].as_str().unwrap());
    let show = || client.get(&path).unwrap().expect_status(200).unwrap()["instance"].clone();
    until("the used space of the volume to be known", || show()["volume"]["used"].is_number());
    let shown = show();
    assert_eq!((&shown["cluster_id"], &shown["status"]), (&json!(cluster.id), &json!("ACTIVE")));
    assert_eq!((&shown["ip"], &shown["volume"]["size"]), (&member["ip"], &json!(1)));
    let used = shown["volume"]["used"].as_f64().unwrap();
    assert!(used > 0.0 && used < 1.0, "an empty node uses a part of its gigabyte, not {used}");
}
