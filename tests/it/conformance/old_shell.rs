//! The `trove` command, which python-troveclient still brings. It takes no token of a file, only Keystone, and prints
//! text as Python 3 prints bytes.

use serde_json::Value;

use super::cli::Cli;
use super::walk::{wait_gone, wait_idle};
use crate::support::world::World;

pub(super) fn all(world: &World, member: &Cli, admin: &Cli) {
    let instance = "flavor=1,volume=1";
    let created =
        member.trove(&["cluster-create", "old", "redis", "7.0", "--instance", instance, "--instance", instance]);
    assert!(created.contains("BUILDING"), "{created}");
    let clusters: Value = serde_json::from_str(&member.trove(&["--json", "cluster-list"])).unwrap();
    assert_eq!((&clusters[0]["name"], clusters.as_array().unwrap().len()), (&"old".into(), 1));
    let id = clusters[0]["id"].as_str().unwrap();
    wait_idle(world, id);

    let shown = member.trove(&["cluster-show", "old"]);
    assert!(shown.contains(id) && shown.contains("NONE"), "{shown}");
    assert_eq!(shown, member.trove(&["cluster-show", id]));
    let members = member.trove(&["cluster-instances", "old"]);
    assert!(members.contains("old-member-1") && members.contains("old-member-2"), "{members}");
    assert_eq!(members.matches("ACTIVE").count(), 2, "{members}");
    assert_eq!(members, member.trove(&["cluster-instances", id]));
    member.trove(&["cluster-modules", "old"]);
    assert!(member.trove_refused(&["cluster-upgrade", "old", "7.0"]).contains("not supported"));

    member.trove(&["cluster-grow", "old", "--instance", instance]);
    wait_idle(world, id);
    let grown = member.trove(&["cluster-instances", "old"]);
    let added = grown.lines().find(|line| line.contains("old-member-3")).expect("the new member");
    let added = added.split('\'').nth(1).expect("its id between quotation marks");
    member.trove(&["cluster-shrink", "old", added]);
    wait_idle(world, id);
    assert_eq!(member.trove(&["cluster-instances", "old"]), members);

    assert!(member.trove_refused(&["cluster-reset-status", "old"]).contains("HTTP 403"));
    admin.trove(&["cluster-reset-status", "old"]);
    assert!(member.trove_refused(&["cluster-force-delete", "old"]).contains("HTTP 403"));
    member.trove(&["cluster-delete", "old"]);
    wait_gone(world, id);

    let created = member.trove(&["--json", "cluster-create", "force", "redis", "7.0", "--instance", instance]);
    let id = serde_json::from_str::<Value>(&created).unwrap()["id"].as_str().unwrap().to_owned();
    admin.trove(&["cluster-force-delete", &id]);
    wait_gone(world, &id);
}
