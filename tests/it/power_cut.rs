//! The power goes: every process of a stack is killed at once. Its daemons are started again, and the rest is the
//! product's: agents, redis-servers, slots, every acknowledged key, and what was under way. Twice in a row, the second time
//! with files that were being written; and once in the middle of three operations.

use std::fs;
use std::net::TcpStream;

use redtrove_testkit::Process;
use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::stack::{Db, State};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clusters::Cluster;
use crate::support::keys::{Writer, missing};
use crate::support::world::{Expected, World, impatient, kill_all};
use crate::support::{leftovers, until};

const EXPECTED: Expected<'_> = &[
    ("had ended: started it again", "the story kills agents"),
    ("starts with the copy of it", "the story damages files"),
    ("cannot reach the message broker", "the story kills the broker"),
    ("is lost", "connections end with the broker"),
    ("lapin", "the library's own words about the same"),
];

#[test]
fn a_cluster_heals_after_everything_was_killed_at_once_and_again() {
    let mut world = World::with_own_broker(impatient);
    let cluster = world.create_synced("powered", 3);
    cluster.wait_active();
    let members = cluster.addresses();
    let nodes = cluster.node_ids();
    for round in ["first-", "second-"] {
        let writer = Writer::start(members.clone(), round);
        writer.wait_for_more(200);
        let victims: Vec<Process> = of_stack(world.layout().dir()).into_iter().map(|found| found.process).collect();
        assert!(victims.len() >= 9, "api, taskmanager, broker, three agents, three redis-servers: {victims:?}");
        kill_all(&victims);
        let written = writer.stop();
        if round == "second-" {
            let files: Vec<_> = world.guests().iter().map(|guest| guest.dir.join("node/data/nodes.conf")).collect();
            fs::OpenOptions::new().write(true).open(&files[0]).unwrap().set_len(150).unwrap();
            fs::remove_file(&files[1]).unwrap();
        }
        let daemons: Vec<String> =
            State::read(world.layout()).unwrap().daemons().map(|daemon| daemon.name.clone()).collect();
        for daemon in &daemons {
            world.stack().start_again(daemon).unwrap();
        }

        until("the API to answer", || cluster.look().is_some());
        cluster.wait_well();
        assert_eq!(cluster.node_ids(), nodes, "the same nodes");
        cluster.assert_slots_even();
        assert_eq!(missing(&members, round, &written.acknowledged), Vec::<u64>::new());
        world.wait_heard_running(3);
        cluster.wait_active();
    }
    assert_eq!(world.create("after", 1).wait_active()["task"]["name"], "NONE", "and the control plane works");
    world.end(EXPECTED);
}

/// How many steps each operation has begun when it is caught.
const MIDDLE_OF_A_CREATE: usize = 9;
const MIDDLE_OF_A_GROW: usize = 3;
const MIDDLE_OF_A_SHRINK: usize = 1;

const EXPECTED_OF_OPERATIONS: Expected<'_> = &[("had ended: started it again", "the story kills agents")];

#[test]
fn operations_under_way_go_on_after_everything_was_killed_at_once() {
    let mut world = World::embedded(|options| {
        options.db = Db::MariaDb;
        // One for each operation: it is paused in its middle until all are there. No other takes an operation over
        // meanwhile, and afterwards nobody has time to wait for a lease.
        options.taskmanagers = 3;
        options.taskmanager = json!({"taskmanager": {"agent_heartbeat_time": 1, "lease_seconds": 600}});
    });
    world.create_synced("first", 1).wait_active();
    let (created, one) = caught(&world, 1, MIDDLE_OF_A_CREATE, |world| world.create_another_synced("created", 3));
    let (grown, two) = caught(&world, 2, MIDDLE_OF_A_GROW, |world| {
        let cluster = world.create_another_synced("grown", 2);
        cluster.wait_active();
        cluster.grow(1);
        cluster
    });
    let (shrunk, three) = caught(&world, 2, MIDDLE_OF_A_SHRINK, |world| {
        let cluster = world.create_another_synced("shrunk", 3);
        cluster.wait_active();
        cluster.drain_last();
        ask_shrink(world, &cluster);
        cluster
    });
    let holders = [one, two, three];
    let written: Vec<(Cluster, Writer)> = [&grown, &shrunk]
        .map(|cluster| (cluster.clone(), Writer::start(cluster.addresses()[..2].to_vec(), "written-")))
        .into();
    written.iter().for_each(|(_, writer)| writer.wait_for_more(200));

    let victims: Vec<Process> = of_stack(world.layout().dir()).into_iter().map(|found| found.process).collect();
    let least = ["mariadbd", "api"].len() + holders.len() + 2 * (1 + 2 + 3);
    assert!(victims.len() >= least, "daemons, and agents and redis-servers of three clusters: {victims:?}");
    holders.iter().for_each(|holder| holder.signal(Signal::CONT).unwrap());
    kill_all(&victims);
    // What was being started in that moment.
    until("everything to be dead", || {
        let more: Vec<Process> = of_stack(world.layout().dir()).into_iter().map(|found| found.process).collect();
        kill_all(&more);
        more.is_empty()
    });
    let written: Vec<_> = written.into_iter().map(|(cluster, writer)| (cluster, writer.stop())).collect();
    start_all_again(&mut world);

    until("the API to answer", || created.look().is_some());
    for (cluster, before, wanted) in [(&created, 3, 3), (&grown, 2, 3), (&shrunk, 3, 2)] {
        assert_ended(cluster, before, wanted);
    }
    for (cluster, written) in &written {
        assert_eq!(missing(&cluster.addresses(), "written-", &written.acknowledged), Vec::<u64>::new());
    }
    created.assert_slots_even();
    world.check_logs(EXPECTED_OF_OPERATIONS);
    let clusters = world.client().get("/clusters").unwrap().expect_status(200).unwrap();
    for id in clusters["clusters"].as_array().unwrap().iter().map(|cluster| cluster["id"].as_str().unwrap()) {
        assert_eq!(world.client().delete(&format!("/clusters/{id}")).unwrap().status, 202);
    }
    let left = || world.database().number("SELECT COUNT(*) FROM clusters WHERE deleted = 0");
    until("all clusters to be gone", || left() == 0);
    until("what was removed to be forgotten", || world.database().number("SELECT COUNT(*) FROM removed_nodes") == 0);
    leftovers::assert_none(&world);
    world.end(EXPECTED_OF_OPERATIONS);
}

/// Begins the `tasks`th task of a cluster, and pauses whoever works on it when it has begun so many steps. It may have
/// ended before; then all of it is done again, with another cluster.
fn caught(world: &World, tasks: usize, steps: usize, begin: impl Fn(&World) -> Cluster) -> (Cluster, Process) {
    for _ in 0..10 {
        let cluster = begin(world);
        if let Some(holder) = pause(world, &cluster, tasks, steps) {
            return (cluster, holder);
        }
        cluster.wait_calm();
        cluster.delete();
        cluster.wait_gone();
    }
    panic!("no task was caught in the middle in ten attempts");
}

fn pause(world: &World, cluster: &Cluster, tasks: usize, steps: usize) -> Option<Process> {
    let newest = "SELECT CONCAT_WS(' ', (SELECT COUNT(*) FROM task_steps s WHERE s.task_id = t.id), t.state, t.lease_owner) \
                  FROM tasks t WHERE t.cluster_id = ? ORDER BY t.created DESC, t.id DESC LIMIT 1";
    let there = "SELECT CAST(COUNT(*) AS CHAR) FROM tasks WHERE cluster_id = ?";
    let database = world.database();
    let look = || {
        let row = database.text(newest, &cluster.id)?;
        let (count, task) = row.split_once(' ')?;
        Some((count.parse::<usize>().ok()?, task.to_owned()))
    };
    let mut seen = None;
    until("the operation to be in its middle", || {
        let begun = database.text(there, &cluster.id).is_some_and(|count| count == tasks.to_string());
        seen = look().filter(|(count, task)| begun && (*count >= steps || task.starts_with("succeeded")));
        seen.is_some()
    });
    let holder = seen?.1.strip_prefix("running ")?.to_owned();
    let process = world.daemon(&holder);
    process.signal(Signal::STOP).unwrap();
    if look().is_some_and(|(_, task)| task == format!("running {holder}")) {
        return Some(process);
    }
    process.signal(Signal::CONT).unwrap();
    None
}

/// Asks to remove the last member. The answer waits for a verdict that may never come before the power goes.
fn ask_shrink(world: &World, cluster: &Cluster) {
    let (client, path) = (world.client(), cluster.path());
    let leaver = cluster.member_ids().pop().unwrap();
    std::thread::spawn(move || client.post(&path, &json!({"shrink": [{"id": leaver}]})).map(|answer| answer.status));
}

/// Starts the daemons, the database first: whoever finds none at its start ends, and is for systemd to start again.
fn start_all_again(world: &mut World) {
    let daemons: Vec<String> =
        State::read(world.layout()).unwrap().daemons().map(|daemon| daemon.name.clone()).collect();
    for daemon in &daemons {
        world.stack().start_again(daemon).unwrap();
        if daemon == "mariadb" {
            let url = world.stack().description().db.clone();
            let address = url.split(['@', '/']).nth(3).expect("mysql://user:password@address:port/name").to_owned();
            until("the database to be back", || TcpStream::connect(&address).is_ok());
        }
    }
}

/// The operation came to its end: the cluster is as it was asked for, or says why it is as it was before.
fn assert_ended(cluster: &Cluster, before: usize, wanted: usize) {
    let count = cluster.wait_calm();
    let shown = cluster.look().unwrap();
    match &shown["fault"]["message"] {
        Value::Null => {
            assert_eq!(count, wanted, "{shown}");
            cluster.wait_members(wanted);
        }
        fault => {
            println!("{}: {fault}", shown["name"]);
            assert!(before != wanted && count == before && fault.as_str().is_some_and(|why| why.len() > 10), "{shown}");
            until("all members to be ACTIVE", || cluster.is_active());
        }
    }
    cluster.wait_well();
    cluster.wait_agreement();
}
