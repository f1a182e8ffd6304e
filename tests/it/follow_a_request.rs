//! One request's id is found in the logs of all three daemons, in the order of its way, and with its task.

use redtrove_testkit::logs::{Line, read};

use crate::support::clusters::Cluster;
use crate::support::world::World;

#[test]
fn one_request_id_leads_from_the_api_through_the_taskmanager_to_every_guest() {
    let world = World::with_broker(|_| ());
    let cluster = brought(&world);
    let request = &cluster.request_id;
    assert!(request.starts_with("req-"), "{request}");

    let api = first(&world.log("api"), request, "is asked for");
    let brought = first(&world.log("taskmanager"), request, "a message brought task");
    let begins = first(&world.log("taskmanager"), request, "begins: create_cluster");
    assert!(api < brought && api < begins, "api at {api}, the message at {brought}, the task at {begins}");
    for guest in world.guests().into_iter().filter(|guest| cluster.member_ids().contains(&guest.id)) {
        let log = read(&guest.dir.join("agent.log")).unwrap();
        let mut last = begins.clone();
        for call in ["Prepare", "ClusterAddslots", "ClusterComplete"] {
            let at = first(&log, request, &format!("{call} of instance {}", guest.id));
            assert!(last < at, "{call} at {at}, what comes before it at {last}");
            last = at;
        }
    }

    let shown = world.tasks(&["show", &cluster.task]);
    assert_eq!(shown["task"]["request"], request.as_str());
    assert!(shown["steps"].as_array().is_some_and(|steps| steps.len() > 3), "{shown}");
    assert!(world.taskmanager(&["task", "show", &cluster.task]).contains(request.as_str()));
    let listed = world.tasks(&["list", "--cluster", &cluster.id]);
    assert_eq!(listed[0]["id"], cluster.task.as_str());
    world.end(&[]);
}

/// A cluster whose task was brought by its message. A sweeper may be quicker where the broker has only just come up.
fn brought(world: &World) -> Cluster {
    for n in 0..5 {
        let cluster = world.create(&format!("followed-{n}"), 3);
        cluster.wait_active();
        let words = format!("a message brought task {}", cluster.task);
        if world.log("taskmanager").iter().any(|line| line.message.contains(&words)) {
            return cluster;
        }
    }
    panic!("no message brings a task");
}

/// The time of the first line about this request with these words. Times have a fixed width, so text compares.
fn first(log: &[Line], request: &str, words: &str) -> String {
    let found = log.iter().find(|line| line.message.contains(words) && line.text.contains(request));
    let line = found.unwrap_or_else(|| panic!("no line with '{words}' about {request}"));
    line.fields["timestamp"].as_str().expect("every line has a time").to_owned()
}
