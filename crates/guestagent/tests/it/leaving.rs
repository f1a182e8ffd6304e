//! A node leaves its cluster, is killed in the middle of it, is called again.

use redtrove_guest_rpc::v1;
use rustix::process::Signal;
use serde_json::json;
use tonic::{Code, Status};

use crate::closing::send;
use crate::forming::{agreed, formed};
use crate::harness::{Agent, Client, World, at, prepare_request, refused, wait_for};
use crate::scaling::join;

/// A cluster of four, the last of which owns nothing.
struct Four {
    agents: Vec<Agent>,
    clients: Vec<Client>,
    /// The id of the last.
    node: String,
}

impl Four {
    async fn form(world: &World) -> Self {
        let (mut agents, mut clients) = formed(world).await;
        join(world, &mut agents, &mut clients, 1).await;
        clients[3].complete().await;
        let node = clients[3].topology().await.node_id;
        Self { agents, clients, node }
    }

    fn agent(&mut self) -> &mut Agent {
        &mut self.agents[3]
    }

    fn client(&mut self) -> &mut Client {
        &mut self.clients[3]
    }

    async fn leave(&mut self) -> Result<(), Status> {
        let node = self.node.clone();
        self.client().leave(&node).await
    }

    /// Starts the leaver's agent again, as if it had been killed after it wrote down that the node is to leave.
    async fn restart_leaving(&mut self, world: &World) {
        let shut = json!({ "leaving": self.node });
        self.agent().restart_shut(shut).await;
        self.clients[3] = world.control(&self.agents[3]).await;
        self.client().wait_state(v1::RedisState::Running).await;
    }

    /// Marks slot 0 as one that the leaver is to get from the first.
    async fn import_a_slot(&mut self) {
        let owner = self.clients[0].topology().await.node_id;
        assert_eq!(self.agents[3].own_cli(&["cluster", "setslot", "0", "importing", &owner]), "OK");
    }

    /// Asserts that the leaver is what a node is that has left.
    async fn assert_left(&mut self) {
        let old = self.node.clone();
        let topology = self.client().topology().await;
        assert_eq!(topology.left_node_id.as_ref(), Some(&old));
        assert_eq!(
            (topology.nodes.len(), topology.keys, topology.closed_for_ms),
            (1, 0, Some(120_000)),
            "{topology:?}"
        );
        let own = &topology.nodes[0];
        assert!(own.node_id != old && own.slots.is_empty() && own.config_epoch == 0, "{own:?}");
        assert!(self.agents[3].is_shut());
        assert_eq!(self.agents[3].state()["shut"], json!({ "left": old }));
    }
}

fn failed(result: Result<(), Status>, word: &str) {
    let status = result.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains(word), "{word}: {status}");
}

#[tokio::test]
async fn a_node_that_is_open_has_slots_or_takes_part_in_a_move_does_not_leave() {
    let world = World::new();
    let mut four = Four::form(&world).await;
    let node = four.node.clone();
    failed(four.leave().await, "open to tenants");
    four.client().close(&node).await.unwrap();
    failed(four.client().leave(&"0".repeat(40)).await, &node);
    assert_eq!(four.client().leave("x").await.unwrap_err().code(), Code::InvalidArgument);

    four.import_a_slot().await;
    failed(four.leave().await, "moves of slots: 0");
    assert_eq!(four.agents[3].own_cli(&["cluster", "setslot", "0", "stable"]), "OK");

    let owner = four.clients[0].topology().await.node_id;
    four.clients[0].close(&owner).await.unwrap();
    failed(four.clients[0].leave(&owner).await, "owns slots: 0-5461");
    assert_eq!(four.agents[0].own_cli(&["cluster", "setslot", "9", "migrating", &node]), "OK");
    failed(four.clients[0].leave(&owner).await, "owns slots");
    assert_eq!(four.agents[0].own_cli(&["cluster", "setslot", "9", "stable"]), "OK");
    four.clients[0].reopen(&owner).await.unwrap();

    agreed(&mut four.clients, 4).await;
    let closed_for = four.client().topology().await.closed_for_ms.unwrap();
    assert!(closed_for < 120_000, "what is refused does not prolong it");
    four.client().reopen(&node).await.unwrap();
    assert!(!four.agents[3].is_shut());
}

#[tokio::test]
async fn leaving_empties_the_node_and_shuts_it_for_ever() {
    let world = World::new();
    let mut four = Four::form(&world).await;
    let node = four.node.clone();
    // A key that no client can reach: its slot was on the way here, and the move was called off.
    four.import_a_slot().await;
    let answers = send(&four.agents[3], 2, |n| ["ASKING", "SET key-3849 x"][n].to_owned());
    assert_eq!(answers, ["OK", "OK"], "the key is of slot 0");
    assert_eq!(four.agents[3].own_cli(&["cluster", "setslot", "0", "stable"]), "OK");
    assert_eq!(four.client().topology().await.keys, 1);

    four.client().close(&node).await.unwrap();
    four.leave().await.unwrap();
    four.assert_left().await;
    let new = four.client().topology().await.node_id;
    four.leave().await.expect("repeated");
    four.client().close(&node).await.expect("it is closed");
    assert_eq!(four.client().topology().await.node_id, new, "and nothing is done twice");

    let other = "0".repeat(40);
    for id in [&new, &other] {
        failed(four.client().leave(id).await, &node);
        failed(four.client().close(id).await, &node);
    }
    failed(four.client().reopen(&node).await, &node);
    failed(four.client().reopen(&new).await, &node);
    failed(four.client().add_slots(0, 1, 1).await, &node);
    let client = &mut four.clients[3].0;
    let meet = v1::ClusterMeetRequest { ip: four.agents[0].ip.to_string(), port: 6379, ..Default::default() };
    for (code, message) in [
        refused(client.prepare(at(1, prepare_request(&four.agents[3]))).await),
        refused(client.cluster_complete(at(1, v1::ClusterCompleteRequest {})).await),
        refused(client.cluster_meet(at(1, meet)).await),
    ] {
        assert_eq!((code, message.contains(&node)), (Code::FailedPrecondition, true), "{message}");
    }
    let status = four.client().wait_state(v1::RedisState::Running).await;
    assert_eq!((status.complete, status.node_id.as_ref()), (true, Some(&new)));
    four.assert_left().await;

    four.agent().end(Signal::KILL);
    four.agents[3].kill_redis();
    four.agent().start_again().await;
    four.clients[3] = world.control(&four.agents[3]).await;
    four.client().wait_state(v1::RedisState::Running).await;
    four.assert_left().await;
    assert_eq!(four.client().topology().await.node_id, new);
}

#[tokio::test]
async fn a_node_that_was_never_complete_leaves_as_it_is() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    failed(client.leave(&"0".repeat(40)).await, "not prepared");
    client.prepare(&agent).await;
    let node = client.topology().await.node_id;
    failed(client.leave(&"0".repeat(40)).await, &node);
    client.leave(&node).await.unwrap();
    let topology = client.topology().await;
    assert_eq!((topology.left_node_id, topology.closed_for_ms), (Some(node.clone()), None));
    assert_ne!(topology.node_id, node);
}

#[tokio::test]
async fn a_leave_that_was_cut_short_before_anything_was_touched_is_done_by_the_next_call() {
    let world = World::new();
    let mut four = Four::form(&world).await;
    let node = four.node.clone();
    four.client().close(&node).await.unwrap();
    four.restart_leaving(&world).await;
    assert!(four.agents[3].is_shut());
    let topology = four.client().topology().await;
    assert_eq!((&topology.node_id, topology.left_node_id, topology.closed_for_ms), (&node, None, Some(120_000)));
    four.client().close(&node).await.expect("it is closed");
    failed(four.client().close(&"0".repeat(40)).await, &node);
    four.agents[3].kill_redis();
    four.client().wait_state(v1::RedisState::Running).await;
    assert!(four.agents[3].is_shut(), "and stays so");
    four.leave().await.unwrap();
    four.assert_left().await;
}

#[tokio::test]
async fn a_leave_that_was_cut_short_after_the_reset_is_done_already() {
    let world = World::new();
    let mut four = Four::form(&world).await;
    let node = four.node.clone();
    four.client().close(&node).await.unwrap();
    four.agent().end(Signal::KILL);
    assert_eq!(four.agents[3].own_cli(&["cluster", "reset", "hard"]), "OK");
    four.agent().start_again().await;
    four.restart_leaving(&world).await;
    let topology = four.client().topology().await;
    assert_eq!(topology.left_node_id.as_ref(), Some(&node), "seen before it is written down");
    failed(four.client().reopen(&node).await, &topology.node_id);
    failed(four.client().leave(&topology.node_id).await, &node);
    four.leave().await.unwrap();
    four.assert_left().await;
    assert_eq!(four.client().topology().await.node_id, topology.node_id, "it is not reset twice");
}

#[tokio::test]
async fn a_leave_that_was_cut_short_can_be_given_up() {
    let world = World::new();
    let mut four = Four::form(&world).await;
    let node = four.node.clone();
    four.client().close(&node).await.unwrap();
    // By redis-server: the node is a member that is closed for a while again.
    four.restart_leaving(&world).await;
    four.import_a_slot().await;
    failed(four.leave().await, "moves of slots: 0");
    assert!(four.agents[3].state()["shut"]["until"].is_i64(), "{}", four.agents[3].state());
    assert!(four.agents[3].is_shut());
    assert_eq!(four.agents[3].own_cli(&["cluster", "setslot", "0", "stable"]), "OK");
    // By the caller.
    four.restart_leaving(&world).await;
    four.client().reopen(&node).await.unwrap();
    assert!(!four.agents[3].is_shut());
    assert_eq!(four.client().topology().await.closed_for_ms, None);
    agreed(&mut four.clients, 4).await;
}

#[tokio::test]
async fn a_leave_while_redis_server_is_down_changes_nothing_and_may_be_repeated() {
    let world = World::new();
    let mut four = Four::form(&world).await;
    let node = four.node.clone();
    four.client().close(&node).await.unwrap();
    let hung = rustix::process::Pid::from_raw(four.agents[3].redis().unwrap().pid).unwrap();
    rustix::process::kill_process(hung, Signal::STOP).unwrap();
    assert_eq!(four.leave().await.unwrap_err().code(), Code::Unavailable);
    rustix::process::kill_process(hung, Signal::CONT).unwrap();
    assert!(four.agents[3].state()["shut"]["until"].is_i64());
    wait_for("the repeated call", || {
        let mut client = Client(four.clients[3].0.clone());
        let node = node.clone();
        async move { client.leave(&node).await.ok() }
    })
    .await;
    four.assert_left().await;
}
