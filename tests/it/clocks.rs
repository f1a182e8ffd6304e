//! Clocks of hosts differ by hours and step back and forth. Leases, takeovers, deadlines and kept answers go by the
//! database's clock alone, so nobody notices.
//!
//! libfaketime shows a daemon another time of day; what measures how long something takes (CLOCK_MONOTONIC) goes on as it
//! is, as it does on a host whose clock is set.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use redtrove_testkit::Process;
use redtrove_testkit::stack::{Db, State};
use serde_json::{Value, json};

use crate::support::clusters::{Cluster, ask};
use crate::support::raw_http::{exchange, status};
use crate::support::world::{Expected, World, impatient, kill_all};
use crate::support::{leftovers, until};

/// Debian's place for it; `MT` is for programs with threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// The lease, and the work; on a busy machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(6 + 30);

/// Steps that began hours after the database had taken their task, and others.
const AHEAD: &str =
    "SELECT COUNT(*) FROM task_steps s JOIN tasks t ON t.id = s.task_id WHERE s.started - t.created > 4 * 3600000";
const NOT_AHEAD: &str =
    "SELECT COUNT(*) FROM task_steps s JOIN tasks t ON t.id = s.task_id WHERE s.started - t.created < 3600000";

const EXPECTED: Expected<'_> = &[];

/// The time that some daemons see: the machine's, and so much more.
struct OtherTime(PathBuf);

impl OtherTime {
    fn set(&self, offset: &str) {
        fs::write(&self.0, offset).unwrap();
    }

    /// Starts a daemon again, which sees this time.
    fn start(&self, world: &World, name: &str) -> Process {
        let daemon = State::read(world.layout()).unwrap().find(name).unwrap().clone();
        daemon.process.terminate(Duration::from_secs(20)).unwrap();
        let launch = daemon.launch.env("LD_PRELOAD", LIBRARY).env("FAKETIME_TIMESTAMP_FILE", self.0.to_str().unwrap());
        // Read again at each look at the clock.
        let launch = launch.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        launch.env("DONT_FAKE_MONOTONIC", "1").spawn().unwrap()
    }
}

#[test]
fn clocks_that_differ_by_hours_matter_to_nobody() {
    assert!(fs::exists(LIBRARY).unwrap(), "no {LIBRARY}; install the package faketime");
    let mut world = World::embedded(|options| {
        impatient(options);
        options.db = Db::MariaDb;
        (options.apis, options.taskmanagers) = (2, 2);
    });
    let dir = tempfile::tempdir().unwrap();
    let (ahead, far_ahead) = (OtherTime(dir.path().join("ahead")), OtherTime(dir.path().join("far")));
    ahead.set("+5h");
    far_ahead.set("+30h");
    let mut other_taskmanager = ahead.start(&world, "taskmanager-2");
    let other_api = far_ahead.start(&world, "api-2");
    until("the other daemons to be there", || {
        world.metric("taskmanager-2", "redtrove_tasks_running").is_some()
            && world.stack().clients()[1].get("/clusters").is_ok_and(|answer| answer.status == 200)
    });

    // A lease that runs for another while is not taken for one that ended hours ago.
    let clients = world.stack().clients();
    let clusters: Vec<Cluster> = (0..4).map(|n| Cluster::create(&clients[n % 2], &format!("c{n}"), 3)).collect();
    for cluster in &clusters {
        cluster.wait_active();
        cluster.assert_slots_even();
        assert_eq!(world.tasks(&["show", &cluster.task])["task"]["attempt"], 1, "nobody took it over");
    }
    assert_answer_is_kept(&mut world);
    // Steps are dated by whoever does them, for people: here one sees that the clocks do differ, and that both have worked.
    let database = world.database();
    for done in [AHEAD, NOT_AHEAD] {
        until("each taskmanager to have worked", || {
            let worked = database.number(done) > 0;
            if !worked {
                let cluster = world.create("more", 1);
                cluster.wait_active();
                cluster.delete();
                cluster.wait_gone();
            }
            worked
        });
    }

    // The clock steps back, past the beginning of what is under way, and forward again.
    let grown = &clusters[0];
    ahead.set("-4h");
    grown.grow(1);
    grown.wait_members(4);
    ahead.set("+9h");

    // Whoever has the right time takes over from one who is ahead: it knows the guests' certificates, too.
    let mut others = Vec::new();
    let machines = "SELECT CAST(COUNT(*) AS CHAR) FROM instances WHERE cluster_id = ? AND ip IS NOT NULL";
    let built = loop {
        let cluster = world.create("taken-over", 3);
        if owner(&world, &cluster.task) == "taskmanager-2" {
            until("its machines to be there", || database.text(machines, &cluster.id).as_deref() == Some("3"));
            kill_all(&[other_taskmanager]);
            if database.text("SELECT state FROM tasks WHERE id = ?", &cluster.task).as_deref() == Some("running") {
                break cluster;
            }
            // It had come to its end just before.
            other_taskmanager = ahead.start(&world, "taskmanager-2");
        }
        cluster.wait_active();
        others.push(cluster);
        assert!(others.len() < 50, "the other taskmanager is never caught at work");
    };
    built.wait_active_within(TAKEN_OVER_WITHIN);
    built.assert_slots_even();
    let task = world.tasks(&["show", &built.task])["task"].clone();
    assert_eq!(task["attempt"], 2, "{task}");

    for cluster in clusters.iter().chain(&others).chain([&built]) {
        cluster.delete();
        cluster.wait_gone();
    }
    leftovers::assert_none(&world);
    let _ = other_api;
    world.end(EXPECTED);
}

/// Who works on a task.
fn owner(world: &World, task: &str) -> String {
    let database = world.database();
    let mut owner = None;
    until("somebody to work on the task", || {
        owner = database.text("SELECT lease_owner FROM tasks WHERE id = ?", task);
        owner.is_some()
    });
    owner.unwrap()
}

/// The API whose clock is 30 hours ahead still has the answer that is kept for a day.
fn assert_answer_is_kept(world: &mut World) {
    let first = send(world, 0);
    let again = send(world, 1);
    assert_eq!((status(&first), status(&again)), (202, 202), "{first}\n{again}");
    assert!(again.to_lowercase().contains("idempotency-replayed: true"), "{again}");
    let id = |answer: &str| {
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        body["cluster"]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id(&first), id(&again));
    let client = world.client();
    let path = format!("/clusters/{}", id(&first));
    until("the cluster to be there", || {
        client.get(&path).is_ok_and(|answer| answer.body["cluster"]["task"]["name"] == json!("NONE"))
    });
    assert_eq!(client.delete(&path).unwrap().status, 202);
    until("the cluster to be gone", || client.get(&path).is_ok_and(|answer| answer.status == 404));
}

/// The same request to one of the APIs.
fn send(world: &mut World, api: usize) -> String {
    let description = world.stack().description().clone();
    let host = description.apis[api].strip_prefix("http://").unwrap();
    let body = ask("once", 1).to_string();
    let request = format!(
        "POST /v1.0/{}/clusters HTTP/1.1\r\nhost: {host}\r\nx-auth-token: {}\r\nidempotency-key: once\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        description.project_id,
        description.token,
        body.len(),
    );
    exchange(host, request.as_bytes()).expect("an answer")
}
