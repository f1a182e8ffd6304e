//! Identity and end of processes, tried on real ones.

use std::time::Duration;

use super::table::{STACK_DIR_VARIABLE, of_stack};
use super::{Launch, Process};

fn sleeper(dir: &std::path::Path) -> Process {
    let launch = Launch::new("/bin/sleep", dir.join("log"), dir).arg("600");
    launch.env(STACK_DIR_VARIABLE, dir.to_str().expect("a plain path")).spawn().expect("sleep starts")
}

#[test]
fn the_same_pid_with_another_start_time_is_another_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let process = sleeper(dir.path());
    assert!(!process.is_gone());
    assert_eq!(Process::find(process.pid), Some(process));

    let earlier = Process { started: process.started - 1, ..process };
    assert!(earlier.is_gone());
    earlier.kill().expect("what is gone needs no killing");
    assert!(!process.is_gone(), "the later process with the same pid was hit");

    process.terminate(Duration::from_secs(5)).expect("it ends");
    assert!(process.is_gone());
    process.kill().expect("ending twice is fine");
}

#[test]
fn a_process_that_ignores_sigterm_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "trap '' TERM; echo ready; while :; do sleep 600; done";
    let launch = Launch::new("/bin/sh", dir.path().join("log"), dir.path()).arg("-c").arg(script);
    let launch = launch.env(STACK_DIR_VARIABLE, dir.path().to_str().expect("a plain path"));
    let process = launch.spawn().expect("sh starts");
    crate::wait_for("the trap", Duration::from_secs(10), || {
        Ok(std::fs::read_to_string(dir.path().join("log"))?.contains("ready").then_some(()))
    })
    .expect("the script is ready");

    process.terminate(Duration::from_millis(100)).expect("it ends all the same");
    assert!(process.is_gone());
    for orphan in of_stack(dir.path()) {
        orphan.process.kill().expect("its sleep goes too");
    }
}

#[test]
fn a_dead_child_nobody_waited_for_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let process = Launch::new("/bin/true", dir.path().join("log"), dir.path()).spawn().expect("true starts");
    crate::wait_for("true to end", Duration::from_secs(10), || Ok(process.is_gone().then_some(()))).expect("it ends");
    assert_eq!(Process::find(process.pid), None);
}

#[test]
fn a_stack_finds_its_own_processes_and_no_others() {
    let one = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let mine = sleeper(one.path());
    let theirs = sleeper(other.path());

    let found: Vec<Process> = of_stack(one.path()).into_iter().map(|found| found.process).collect();
    assert_eq!(found, vec![mine]);

    mine.kill().expect("mine ends");
    assert!(of_stack(one.path()).is_empty());
    assert!(!theirs.is_gone());
    theirs.kill().expect("theirs ends");
}

#[test]
fn a_missing_program_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Launch::new("/no/such/program", dir.path().join("log"), dir.path()).spawn().expect_err("no program");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}
