//! What tenants see of members keeps up with what is known of them: a silent agent is told of when it has been silent for
//! `agent_heartbeat_expiry`, and so is it that no taskmanager looks at all. What was said is taken back as soon.

use std::time::Duration;

use redtrove_testkit::wait_for;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clusters::Cluster;
use crate::support::keys::write_and_read;
use crate::support::world::{World, kill_all};
use crate::support::{until, within};

/// The expiry (3 s), the end of the monitor's round, the API's look at who watches (5 s), and a busy machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(3 + 2 + 5 + 10);

fn start(taskmanagers: usize) -> World {
    World::embedded(|options| {
        options.taskmanagers = taskmanagers;
        options.api = json!({"status": {"agent_heartbeat_expiry": 3}});
    })
}

/// Status and fault of each member, in member order, as the cluster shows them.
fn members(cluster: &Cluster) -> Vec<(String, String)> {
    let shown = cluster.look().map(|cluster| cluster["instances"].clone()).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |member: &Value| (text(&member["status"]), text(&member["fault"]["message"]));
    shown.as_array().into_iter().flatten().map(member).collect()
}

fn is_error(member: &(String, String), words: &str) -> bool {
    member.0 == "ERROR" && member.1.starts_with(words)
}

#[test]
fn a_silent_agent_is_told_of_in_time_and_forgiven_when_it_is_back() {
    let world = start(1);
    let cluster = world.create("silent", 3);
    cluster.wait_active();
    let ids = cluster.member_ids();
    let agent = world.guests().into_iter().find(|guest| guest.id == ids[1]).and_then(|guest| guest.agent).unwrap();
    agent.signal(Signal::STOP).unwrap();
    let told = wait_for("the silence to be told of", SHOWN_WITHIN, || {
        let members = members(&cluster);
        let others_are_well = members.len() == 3 && [0, 2].iter().all(|n| members[*n].0 == "ACTIVE");
        Ok((others_are_well && is_error(&members[1], "guest agent silent since ")).then(|| members[1].1.clone()))
    });
    let told = told.unwrap();
    // Its server serves all the while, and what is told of the member alone is the same, by its own path as well.
    write_and_read(&cluster.addresses(), "meanwhile-", 50);
    let shown = world.client().get(&format!("/instances/{}", ids[1])).unwrap().expect_status(200).unwrap();
    assert_eq!((&shown["instance"]["status"], &shown["instance"]["fault"]["message"]), (&json!("ERROR"), &json!(told)));
    assert_eq!(members(&cluster)[1].1, told, "since the same moment");

    agent.signal(Signal::CONT).unwrap();
    within("all members to be ACTIVE, and nothing to be said of them", SHOWN_WITHIN, || {
        members(&cluster) == vec![("ACTIVE".to_owned(), String::new()); 3]
    });
    world.end(&[]);
}

#[test]
fn members_that_nobody_watches_are_told_of_in_time_until_somebody_does() {
    let mut world = start(2);
    let cluster = world.create("unwatched", 3);
    cluster.wait_active();
    let [first, second] = ["taskmanager", "taskmanager-2"].map(|name| world.daemon(name));
    first.signal(Signal::TERM).unwrap();
    until("the first taskmanager to end", || first.is_gone());
    // The other one goes on watching, whoever had the right to.
    within("the other one to watch", SHOWN_WITHIN, || cluster.is_active());
    second.signal(Signal::TERM).unwrap();
    until("the second taskmanager to end", || second.is_gone());
    assert_unwatched(&cluster);
    write_and_read(&cluster.addresses(), "unwatched-", 50);
    let new = world.create("asked-for-meanwhile", 1);

    let again = world.stack().start_again("taskmanager-2").unwrap();
    within("members to be ACTIVE again", SHOWN_WITHIN, || cluster.is_active());
    new.wait_active();
    kill_all(&[again]);
    assert_unwatched(&cluster);
    world.stack().start_again("taskmanager").unwrap();
    within("members to be ACTIVE again", SHOWN_WITHIN, || cluster.is_active());
    world.end(&[]);
}

/// Nothing is known of the members any more, and the API says so, and since when.
fn assert_unwatched(cluster: &Cluster) {
    within("the members to be told of as not watched", SHOWN_WITHIN, || {
        let members = members(cluster);
        let told = |member| is_error(member, "not watched since ") && member.1.ends_with("no taskmanager is at work");
        members.len() == 3 && members.iter().all(told)
    });
}
