//! What is left of clusters that were deleted: nothing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::wait_for;

use super::world::World;

/// Programs of a stack that go on when its last cluster has gone.
const STAY: [&str; 3] = ["redtrove-api", "redtrove-taskma", "mariadbd"];

/// Fails if a process, directory, address or row in use is left of any cluster. For stacks without a broker of their own.
pub(crate) fn assert_none(world: &World) {
    let processes: Vec<String> = of_stack(world.layout().dir())
        .into_iter()
        .filter(|found| !STAY.contains(&found.name.as_str()))
        .map(|found| format!("{} {}", found.process.pid, found.command_line))
        .collect();
    assert!(processes.is_empty(), "processes are left: {processes:#?}");

    // The row of a removed node goes a moment before its address. Sooner than a sweeper of orphans would take it away.
    let mut files = Vec::new();
    let gone = wait_for("files to be gone", Duration::from_secs(5), || {
        files = present(world);
        Ok(files.is_empty().then_some(()))
    });
    assert!(gone.is_ok(), "files are left: {files:#?}");

    let database = world.database();
    for question in [
        "SELECT COUNT(*) FROM clusters WHERE deleted = 0",
        "SELECT COUNT(*) FROM instances WHERE deleted_at IS NULL",
        "SELECT COUNT(*) FROM tasks WHERE ended IS NULL",
        "SELECT COUNT(*) FROM tasks WHERE lease_expires_at IS NOT NULL AND ended IS NULL",
        "SELECT COUNT(*) FROM removed_nodes",
        "SELECT COUNT(*) FROM forget_debts",
        "SELECT COALESCE(SUM(ABS(in_use)), 0) FROM quota_usages",
    ] {
        assert_eq!(database.number(question), 0, "{question}");
    }
}

fn present(world: &World) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(world.layout().instances()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            // Half made, half removed, claims on addresses, locks.
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files
}
