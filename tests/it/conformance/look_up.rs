//! What commands ask for before and after a cluster command: flavors, datastores, limits, quotas.

use serde_json::{Value, json};

use super::cli::{Cli, column};
use crate::support::world::World;

pub(super) fn all(world: &mut World, member: &Cli, admin: &Cli) {
    flavors(member);
    datastores(member);
    let project = world.stack().tokens().member.project_id.clone();
    quotas(member, admin, &project);
}

fn flavors(member: &Cli) {
    let rows = member.list(&["database", "flavor", "list"]);
    assert_eq!(column(&rows, "ID"), ["1", "2", "3", "4"]);
    assert_eq!(column(&rows, "Name")[0], "redtrove.tiny");
    let by_id = member.show(&["database", "flavor", "show", "2"]);
    assert_eq!(by_id, member.show(&["database", "flavor", "show", "redtrove.small"]));
    assert_eq!((&by_id["ram"], &by_id["vcpus"]), (&json!(1024), &json!(1)), "{by_id}");
    let refused = member.refused(&["database", "flavor", "show", "none"]);
    assert!(refused.contains("none"), "{refused}");
}

fn datastores(member: &Cli) {
    let rows = member.list(&["datastore", "list"]);
    assert_eq!(column(&rows, "Name"), ["redis"]);
    let id = column(&rows, "ID")[0].clone();
    let by_id = member.show(&["datastore", "show", &id]);
    assert_eq!(by_id, member.show(&["datastore", "show", "redis"]));
    assert_eq!(by_id["name"], "redis");
    let versions = member.list(&["datastore", "version", "list", "redis"]);
    assert_eq!(versions, member.list(&["datastore", "version", "list", &id]));
    assert_eq!(column(&versions, "Name"), ["7.0"]);
    let version = column(&versions, "ID")[0].clone();
    let show = |version: &str| member.show(&["datastore", "version", "show", version, "--datastore", "redis"]);
    assert_eq!(show("7.0"), show(&version));
    assert_eq!(show("7.0")["id"], version);
}

/// Quotas are off in stacks of tests, which limits show as -1.
fn quotas(member: &Cli, admin: &Cli, project: &str) {
    let limits = member.ok(&["database", "limit", "list"]);
    assert!(limits.contains("max_instances") && limits.contains("max_volumes"), "{limits}");
    let limit = |cli: &Cli, resource: &str| -> Value {
        let rows = cli.list(&["database", "quota", "show", project]);
        rows.iter().find(|row| row["Resource"] == resource).expect("a quota of this resource")["Limit"].clone()
    };
    assert_eq!((limit(member, "instances"), limit(admin, "volumes")), (json!(-1), json!(-1)));
    let refused = member.refused(&["database", "quota", "update", project, "instances", "5"]);
    assert!(refused.contains("HTTP 40"), "a member raises no quota: {refused}");
    admin.ok(&["database", "quota", "update", project, "instances", "5"]);
    assert_eq!(limit(member, "instances"), json!(5));
    let over = [
        &["database", "cluster", "create", "over", "redis", "7.0"][..],
        &["--instance", "flavor=1,volume=1"].repeat(6),
    ];
    let refused = member.refused(&over.concat());
    assert!(refused.contains("HTTP 413"), "{refused}");
}
