//! The same life without any broker: three members, no RabbitMQ anywhere.

use redtrove_testkit::process::table::of_stack;
use redtrove_testkit::redis;

use crate::support::world::World;
use crate::support::{keys, leftovers};

#[test]
fn without_a_broker_a_cluster_lives_the_same_life() {
    let world = World::embedded(|_| ());
    let cluster = world.create("embedded", 3);
    cluster.wait_active();
    cluster.assert_slots_even();
    let members = cluster.addresses();
    keys::write_and_read(&members, "key-", 100);
    assert_eq!(redis::cli(members[0], &["-c"], &["get", "key-7"]).unwrap(), "key-7");

    let names: Vec<String> = of_stack(world.layout().dir()).into_iter().map(|found| found.name).collect();
    assert!(names.iter().any(|name| name == "redtrove-taskma"), "{names:?}");
    assert!(!names.iter().any(|name| name == "beam.smp" || name == "epmd"), "no broker runs: {names:?}");
    assert_eq!(world.metric("taskmanager", "redtrove_bus_connected"), None, "and none is known");

    world.check_logs(&[]);
    cluster.delete();
    cluster.wait_gone();
    leftovers::assert_none(&world);
    world.end(&[]);
}
