//! Restarts, tried with small programs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Backoff, FIRST_PAUSE, LIVED, LONGEST_PAUSE, State, hold, release, start_dead};
use crate::process::Launch;
use crate::process::table::STACK_DIR_VARIABLE;
use crate::stack::description::{Description, Grpc};
use crate::stack::layout::Layout;
use crate::wait_for;

fn description(dir: PathBuf) -> Description {
    let grpc = Grpc { ca: PathBuf::new(), cert: PathBuf::new(), key: PathBuf::new() };
    let (pids, metrics) = (BTreeMap::new(), BTreeMap::new());
    let (token, project_id, db) = ("t".to_owned(), "p".to_owned(), "sqlite:///x".to_owned());
    Description {
        api: "http://x".to_owned(),
        apis: vec!["http://x".to_owned()],
        token,
        project_id,
        keystone: None,
        amqp: None,
        db,
        dir,
        pids,
        metrics,
        grpc,
        guests: String::new(),
    }
}

fn stack_of_a_sleeper(layout: &Layout) -> State {
    let dir = layout.dir().to_str().expect("a plain path").to_owned();
    let launch = Launch::new("/bin/sleep", layout.log("api"), layout.dir()).arg("600").env(STACK_DIR_VARIABLE, dir);
    let process = launch.spawn().expect("sleep starts");
    let mut state = State::new(description(layout.dir().to_owned()));
    state.add("api", launch, process);
    state.save(layout).expect("saved");
    state
}

#[test]
fn a_dead_daemon_runs_again_and_a_held_one_does_not() {
    let parent = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(&parent.path().join("stack")).expect("a new stack");
    let mut state = stack_of_a_sleeper(&layout);
    let mut backoffs = BTreeMap::new();
    let first = state.find("api").expect("it is there").process;

    first.kill().expect("killed");
    wait_for("the restart", Duration::from_secs(10), || {
        start_dead(&layout, &mut state, Some(&mut backoffs), &|_| {})?;
        Ok((!state.find("api")?.process.is_gone()).then_some(()))
    })
    .expect("it runs again");
    let second = state.find("api").expect("it is there").process;
    assert_ne!(first, second);
    let known = Description::read(layout.dir()).expect("readable");
    assert_eq!(known.pids.get("api"), Some(&second.pid), "clients see the new process");

    hold(layout.dir(), "api").expect("held");
    assert!(second.is_gone());
    let until = Instant::now() + 4 * FIRST_PAUSE;
    wait_for("time enough for a restart", Duration::from_secs(5), || {
        start_dead(&layout, &mut state, Some(&mut backoffs), &|_| {})?;
        Ok((Instant::now() > until).then_some(()))
    })
    .expect("time passes");
    assert!(state.find("api").expect("it is there").process.is_gone(), "it was held");

    release(layout.dir(), "api").expect("released");
    release(layout.dir(), "api").expect("twice is fine");
    wait_for("the restart", Duration::from_secs(10), || {
        start_dead(&layout, &mut state, Some(&mut backoffs), &|_| {})?;
        Ok((!state.find("api")?.process.is_gone()).then_some(()))
    })
    .expect("it runs again");
    crate::stack::end(layout.dir()).expect("all ends");
}

#[test]
fn without_restarts_a_dead_daemon_runs_again_only_when_it_is_released() {
    let parent = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(&parent.path().join("stack")).expect("a new stack");
    let mut state = stack_of_a_sleeper(&layout);
    let first = state.find("api").expect("it is there").process;
    release(layout.dir(), "api").expect("one that runs is left as it is");
    first.kill().expect("killed");
    start_dead(&layout, &mut state, None, &|_| {}).expect("a look");
    assert!(state.find("api").expect("it is there").process.is_gone());

    release(layout.dir(), "api").expect("released");
    start_dead(&layout, &mut state, None, &|_| {}).expect("a look");
    let second = state.find("api").expect("it is there").process;
    assert!(!second.is_gone());
    second.kill().expect("killed");
    start_dead(&layout, &mut state, None, &|_| {}).expect("a look");
    assert!(state.find("api").expect("it is there").process.is_gone(), "one release is one start");
}

#[test]
fn an_unknown_daemon_is_refused_with_the_known_ones() {
    let parent = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(&parent.path().join("stack")).expect("a new stack");
    let state = stack_of_a_sleeper(&layout);
    let error = hold(layout.dir(), "../api").expect_err("unknown");
    assert_eq!(error.to_string(), "no daemon ../api; there are api");
    state.find("api").expect("it is there").process.kill().expect("killed");
}

#[test]
fn pauses_grow_while_it_dies_early_and_start_over_when_it_lived() {
    let start = Instant::now();
    let mut backoff = Backoff::new(start);
    let mut now = start;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert!(!backoff.is_due(now), "there is always a pause");
        let died = now;
        while !backoff.is_due(now) {
            now += Duration::from_millis(10);
        }
        pauses.push(now.duration_since(died));
        backoff.restarted(now);
    }
    assert_eq!(pauses[0], FIRST_PAUSE);
    assert!(pauses.is_sorted() && pauses[7] == LONGEST_PAUSE, "{pauses:?}");

    now += LIVED;
    assert!(!backoff.is_due(now));
    assert!(backoff.is_due(now + FIRST_PAUSE), "a daemon that lived is started soon");
}
