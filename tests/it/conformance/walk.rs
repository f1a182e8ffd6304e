//! Every command of `openstack database cluster`, in the order of a cluster's life.

use serde_json::{Value, json};

use super::cli::{Cli, column};
use crate::support::until;
use crate::support::world::World;

/// A network that only has to look like one.
const MEMBER: &str = "flavor=redtrove.tiny,volume=1,volume_type=fast,nic='net-id=6f1ecbe5-6b7f-4e2a-9d60-0f6f1a1f3b6a',\
                      availability_zone=nova";

/// `admin` may be an administrator of another project, who finds clusters by their ids only.
pub(super) fn all(world: &World, member: &Cli, admin: &Cli) {
    let (one, many) = create(member);
    list(member, &one, &many);
    for id in [&one, &many] {
        wait_idle(world, id);
    }
    show(member, &many);
    let first = instances(member, &many);
    not_ours(member, &first);
    grow_and_shrink(world, member, &many, &first);
    reset(member, admin, &many);
    delete(world, member, admin, &one, &many);
}

/// Waits until the cluster has no task, and the monitor has said its first word, which changes what is shown.
pub(super) fn wait_idle(world: &World, id: &str) {
    let client = world.client();
    until("a cluster to have no task", || {
        let cluster = client.get(&format!("/clusters/{id}")).unwrap().body["cluster"].clone();
        assert!(cluster.get("fault").is_none_or(Value::is_null), "{cluster}");
        cluster["task"]["name"] == "NONE"
            && cluster["slots_served"] == 16_384
            && cluster["instances"].as_array().unwrap().iter().all(|member| member["status"] == "ACTIVE")
    });
}

/// Waits until there is no such cluster.
pub(super) fn wait_gone(world: &World, id: &str) {
    let client = world.client();
    until("a cluster to be gone", || client.get(&format!("/clusters/{id}")).unwrap().status == 404);
}

/// One instance with a flavor's id, and two with all that can be said of them. The ids of the clusters.
fn create(member: &Cli) -> (String, String) {
    let create = ["database", "cluster", "create"];
    let one = member.show(&[&create[..], &["one", "redis", "7.0", "--instance", "flavor=1,volume=1"]].concat());
    let options = ["--instance", MEMBER, "--instance", MEMBER, "--locality", "anti-affinity"];
    let many = member.show(&[&create[..], &["many", "redis", "7.0"], &options].concat());
    for (shown, name, count) in [(&one, "one", 1), (&many, "many", 2)] {
        let seen = (&shown["name"], &shown["task_name"], &shown["instance_count"], &shown["datastore"]);
        assert_eq!(seen, (&json!(name), &json!("BUILDING"), &json!(count), &json!("redis")), "{shown}");
        assert_eq!((&shown["ip"], &shown["datastore_version"]), (&json!(""), &json!("7.0")), "{shown}");
    }
    assert_eq!(many["locality"], "anti-affinity");
    let refused = member.refused(&[&create[..], &["bad", "redis", "9.9", "--instance", "flavor=1,volume=1"]].concat());
    assert!(refused.contains("9.9"), "{refused}");
    let refused =
        member.refused(&[&create[..], &["bad", "redis", "7.0", "--instance", "flavor=none,volume=1"]].concat());
    assert!(refused.contains("none"), "{refused}");
    let id = |shown: &Value| shown["id"].as_str().unwrap().to_owned();
    (id(&one), id(&many))
}

fn list(member: &Cli, one: &str, many: &str) {
    let list = ["database", "cluster", "list"];
    let rows = member.list(&list);
    let mut ids = vec![one.to_owned(), many.to_owned()];
    ids.sort();
    assert_eq!(column(&rows, "ID"), ids, "by id, and nothing of what was refused");
    assert!(rows.iter().all(|row| row["Datastore"] == "redis" && row["Datastore Version"] == "7.0"), "{rows:?}");
    let page = member.list(&[&list[..], &["--limit", "1"]].concat());
    assert_eq!(column(&page, "ID"), ids[..1]);
    let page = member.list(&[&list[..], &["--limit", "1", "--marker", &ids[0]]].concat());
    assert_eq!(column(&page, "ID"), ids[1..]);
}

fn show(member: &Cli, many: &str) {
    let by_name = member.show(&["database", "cluster", "show", "many"]);
    assert_eq!(by_name, member.show(&["database", "cluster", "show", many]));
    assert_eq!((&by_name["id"], &by_name["task_name"]), (&json!(many), &json!("NONE")));
    let ip = by_name["ip"].as_str().unwrap();
    assert_eq!(ip.split(", ").filter(|ip| ip.parse::<std::net::Ipv4Addr>().is_ok()).count(), 2, "{ip}");
    let refused = member.refused(&["database", "cluster", "show", "none"]);
    assert!(refused.contains("none"), "{refused}");
}

/// The id of the first member.
fn instances(member: &Cli, many: &str) -> String {
    let list = |cluster: &str| member.list(&["database", "cluster", "list", "instances", cluster]);
    let rows = list("many");
    assert_eq!(rows, list(many));
    assert_eq!(column(&rows, "Name"), ["many-member-1", "many-member-2"]);
    for (name, value) in [("Flavor ID", "1"), ("Size", "1"), ("Status", "ACTIVE")] {
        assert_eq!(column(&rows, name), [value; 2]);
    }
    let first = column(&rows, "ID")[0].clone();
    let shown = member.show(&["database", "instance", "show", &first]);
    assert_eq!((&shown["name"], &shown["status"]), (&json!("many-member-1"), &json!("ACTIVE")), "{shown}");
    assert_eq!(column(&member.list(&["database", "instance", "list"]), "ID"), Vec::<String>::new());
    let all = member.list(&["database", "instance", "list", "--include-clustered"]);
    assert_eq!(all.len(), 3);
    assert!(column(&all, "ID").contains(&first));
    first
}

/// What Trove has and redtrove has not is refused with a sentence, not with a riddle.
fn not_ours(member: &Cli, instance: &str) {
    assert_eq!(member.list(&["database", "cluster", "modules", "many"]).len(), 0);
    let refused = member.refused(&["database", "cluster", "upgrade", "many", "7.0"]);
    assert!(refused.contains("not supported") && refused.contains("HTTP 400"), "{refused}");
    let refused = member.refused(&["database", "instance", "restart", instance]);
    assert!(refused.contains("part of a cluster"), "{refused}");
}

/// Two grows, by name and by id, and a shrink for each; `first` has slots and stays.
fn grow_and_shrink(world: &World, member: &Cli, many: &str, first: &str) {
    let rows = || member.list(&["database", "cluster", "list", "instances", many]);
    for (cluster, added) in [("many", "many-member-3"), (many, "many-member-4")] {
        member.ok(&["database", "cluster", "grow", cluster, "--instance", MEMBER]);
        wait_idle(world, many);
        let rows = rows();
        assert_eq!(column(&rows, "Name").last().map(String::as_str), Some(added));
        assert!(column(&rows, "Status").iter().all(|status| status == "ACTIVE"), "{rows:?}");
    }
    let refused = member.refused(&["database", "cluster", "grow", "many", "--instance", "flavor=none,volume=1"]);
    assert!(refused.contains("none"), "{refused}");

    let ids = column(&rows(), "ID");
    let shrink = |cluster: &str, id: &str| ["database", "cluster", "shrink", cluster, id].map(str::to_owned);
    let refused = member.refused(&shrink("many", first).each_ref().map(String::as_str));
    assert!(refused.contains("HTTP 403") && refused.contains("slots"), "{refused}");
    for (cluster, id) in [("many", &ids[3]), (many, &ids[2])] {
        member.ok(&shrink(cluster, id).each_ref().map(String::as_str));
        wait_idle(world, many);
    }
    assert_eq!(column(&rows(), "ID"), ids[..2]);
    let refused = member.refused(&shrink("many", &ids[3]).each_ref().map(String::as_str));
    assert!(refused.contains(&ids[3]), "{refused}");
}

fn reset(member: &Cli, admin: &Cli, many: &str) {
    let reset = ["database", "cluster", "reset", "status"];
    for cluster in ["many", many] {
        let refused = member.refused(&[&reset[..], &[cluster]].concat());
        assert!(refused.contains("HTTP 403"), "{refused}");
    }
    admin.ok(&[&reset[..], &[many]].concat());
    assert_eq!(member.show(&["database", "cluster", "show", many])["task_name"], "NONE");
}

fn delete(world: &World, member: &Cli, admin: &Cli, one: &str, many: &str) {
    let refused = member.refused(&["database", "cluster", "force", "delete", many]);
    assert!(refused.contains("HTTP 403"), "{refused}");
    member.ok(&["database", "cluster", "delete", "one"]);
    wait_gone(world, one);
    admin.ok(&["database", "cluster", "force", "delete", many]);
    wait_gone(world, many);
    let last = ["database", "cluster", "create", "last", "redis", "7.0", "--instance", "flavor=1,volume=1"];
    let last = member.show(&last)["id"].as_str().unwrap().to_owned();
    member.ok(&["database", "cluster", "delete", &last]);
    wait_gone(world, &last);
    assert_eq!(member.list(&["database", "cluster", "list"]).len(), 0);
    let refused = member.refused(&["database", "cluster", "delete", &last]);
    assert!(refused.contains(&last), "{refused}");
}
