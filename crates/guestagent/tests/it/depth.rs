//! Unix sockets have 108 bytes for their path; an agent's directory may be deeper.

use redtrove_guest_rpc::v1;

use crate::harness::World;

#[tokio::test]
async fn a_directory_of_two_hundred_characters_is_fine() {
    let world = World::new();
    let name = "a very \"deep\" 'directory' \\ with a long name ".repeat(4);
    let deep = world.place.path().join(name.trim());
    assert!(deep.as_os_str().len() > 180);
    let agent = world.agent_in(1, &deep.join("x".repeat(40))).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    client.wait_state(v1::RedisState::Running).await;
    assert!(agent.directory.join("redis.sock").exists() && agent.directory.join("data/nodes.conf").exists());
}
