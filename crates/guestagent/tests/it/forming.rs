//! Three nodes become a cluster through the blueprint's six methods.

use redtrove_core::topology::NodeView;
use redtrove_guest_rpc::metadata::refused_generation;
use redtrove_guest_rpc::v1;
use tonic::Code;

use crate::harness::{Agent, Client, World, at, refused, wait_for};

const RANGES: [(u32, u32); 3] = [(0, 5_461), (5_462, 10_922), (10_923, 16_383)];

/// Three prepared nodes.
pub(crate) async fn three(world: &World) -> (Vec<Agent>, Vec<Client>) {
    let (mut agents, mut clients) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let agent = world.agent(number).await;
        let mut client = world.control(&agent).await;
        client.prepare(&agent).await;
        agents.push(agent);
        clients.push(client);
    }
    (agents, clients)
}

/// A formed cluster of three.
pub(crate) async fn formed(world: &World) -> (Vec<Agent>, Vec<Client>) {
    let (agents, mut clients) = three(world).await;
    for (n, client) in clients.iter_mut().enumerate() {
        client.add_slots(RANGES[n].0, RANGES[n].1, n as u64 + 1).await.unwrap();
    }
    for agent in &agents[1..] {
        let ip = clients[1].0.get_node_ip(v1::GetNodeIpRequest {}).await.unwrap().into_inner();
        assert_eq!((ip.ip, ip.port), (agents[1].ip.to_string(), 6379));
        meet(&mut clients[0], agent).await;
    }
    agreed(&mut clients, 3).await;
    for client in &mut clients {
        client.complete().await;
    }
    (agents, clients)
}

pub(crate) async fn meet(client: &mut Client, agent: &Agent) {
    let request = v1::ClusterMeetRequest { ip: agent.ip.to_string(), port: 6379, ..Default::default() };
    client.0.cluster_meet(at(1, request)).await.unwrap();
}

/// Waits until all of `clients` see one whole cluster of `size` in the same way.
pub(crate) async fn agreed(clients: &mut [Client], size: usize) {
    for client in clients.iter() {
        let client = &client.0;
        wait_for("all nodes to agree", || async move {
            let view: NodeView =
                client.clone().get_topology(v1::GetTopologyRequest {}).await.ok()?.into_inner().try_into().ok()?;
            let slots: u32 = view.slot_map().values().map(redtrove_core::SlotSet::count).sum();
            (view.state_ok && view.known().len() == size && slots == 16_384).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn three_nodes_form_a_cluster() {
    let world = World::new();
    let (agents, mut clients) = three(&world).await;
    let view: NodeView = clients[0].topology().await.try_into().unwrap();
    assert_eq!((view.nodes.len(), view.keys, view.complete, view.own_epoch()), (1, 0, false, 0));
    assert!(agents[0].cli(&["get", "k"]).contains("NOAUTH"), "closed until complete");

    for (n, client) in clients.iter_mut().enumerate() {
        let (first, last) = RANGES[n];
        client.add_slots(first, last, n as u64 + 1).await.unwrap();
        client.add_slots(first, last, n as u64 + 1).await.expect("repeated");
        assert_eq!(client.add_slots(first, last, 9).await.unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(client.add_slots(first, last - 1, n as u64 + 1).await.unwrap_err().code(), Code::FailedPrecondition);
    }
    for agent in &agents[1..] {
        meet(&mut clients[0], agent).await;
        meet(&mut clients[0], agent).await;
    }
    agreed(&mut clients, 3).await;
    for client in &mut clients {
        client.complete().await;
        client.complete().await;
    }
    assert_eq!(agents[0].cli(&["-c", "set", "key", "value"]), "OK");
    assert_eq!(agents[2].cli(&["-c", "get", "key"]), "value");

    for (n, client) in clients.iter_mut().enumerate() {
        client.add_slots(RANGES[n].0, RANGES[n].1, 77).await.expect("complete, and exactly these slots are owned");
        assert_eq!(client.add_slots(0, 1, 1).await.unwrap_err().code(), Code::FailedPrecondition);
        let status = client.status().await;
        assert_eq!(status.state(), v1::RedisState::Running);
        assert_eq!((status.role(), status.complete, status.engine.as_str()), (v1::Role::Master, true, "redis"));
        assert_eq!(status.slots, [v1::SlotRange { first: RANGES[n].0, last: RANGES[n].1 }]);
        assert!(status.used_memory_bytes > 0 && status.volume_used_bytes > 0 && status.generation == 1, "{status:?}");
        assert!(status.engine_version.starts_with("7.") || status.engine_version.starts_with("8."), "{status:?}");
    }
}

#[tokio::test]
async fn the_forming_timeout_ends_with_the_forming() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client
        .0
        .prepare(at(
            1,
            v1::PrepareRequest {
                settings: [("cluster-node-timeout".to_owned(), "7000".to_owned())].into(),
                ..crate::harness::prepare_request(&agent)
            },
        ))
        .await
        .unwrap();
    let timeout = async || agent_timeout(&agent).await;
    assert_eq!(timeout().await, "7000");
    client.add_slots(0, 16_383, 1).await.unwrap();
    assert_eq!(timeout().await, "500");
    client.complete().await;
    assert_eq!(timeout().await, "7000", "the datastore's, not the product's");
}

/// The timeout of the running server, asked as the agent asks.
pub(crate) async fn agent_timeout(agent: &Agent) -> String {
    let shown = agent.own_cli(&["config", "get", "cluster-node-timeout"]);
    shown.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_node_that_was_looked_at_is_the_node_that_is_changed() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    let id = client.topology().await.node_id;
    let request = |expected: &str| v1::ClusterAddslotsRequest {
        first_slot: 0,
        last_slot: 16_383,
        expected_node_id: Some(expected.to_owned()),
        ..v1::ClusterAddslotsRequest::default()
    };
    let (code, message) = refused(client.0.cluster_addslots(at(1, request(&"0".repeat(40)))).await);
    assert_eq!(code, Code::FailedPrecondition, "{message}");
    assert!(client.topology().await.nodes[0].slots.is_empty());
    client.0.cluster_addslots(at(1, request(&id))).await.unwrap();
}

#[tokio::test]
async fn an_empty_node_can_be_removed_and_forgotten() {
    let world = World::new();
    let (_agents, mut clients) = formed(&world).await;
    let joiner = world.agent(4).await;
    let mut joining = world.control(&joiner).await;
    joining.prepare(&joiner).await;
    meet(&mut clients[0], &joiner).await;
    let mut all: Vec<Client> = clients.into_iter().chain([joining]).collect();
    agreed(&mut all, 4).await;

    let removal = |client: &Client| {
        let mut client = client.0.clone();
        async move { client.get_node_id_for_removal(v1::GetNodeIdForRemovalRequest {}).await.unwrap().into_inner().node_id }
    };
    assert_eq!(removal(&all[0]).await, None, "it owns slots");
    let id = removal(&all[3]).await.expect("it owns none");
    assert_eq!(id, all[3].topology().await.node_id);

    let forget = v1::RemoveNodesRequest { node_ids: vec![id.clone(), "0".repeat(40)] };
    let (code, message) = refused(all[3].0.remove_nodes(at(1, forget.clone())).await);
    assert_eq!((code, message.starts_with("node_ids")), (Code::InvalidArgument, true), "{message}");
    for client in &mut all[..3] {
        client.0.remove_nodes(at(1, forget.clone())).await.unwrap();
        client.0.remove_nodes(at(1, forget.clone())).await.expect("forgotten already");
        assert!(client.topology().await.nodes.iter().all(|node| node.node_id != id));
    }
}

#[tokio::test]
async fn late_writers_are_fenced_off() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    client.0.cluster_complete(at(7, v1::ClusterCompleteRequest {})).await.unwrap();
    for again in [false, true] {
        if again {
            agent.end(rustix::process::Signal::KILL);
            agent.start_again().await;
            client = world.control(&agent).await;
        }
        let late = client.0.cluster_complete(at(6, v1::ClusterCompleteRequest {})).await.unwrap_err();
        assert_eq!(late.code(), Code::FailedPrecondition);
        assert_eq!(refused_generation(&late).map(|generation| generation.number()), Some(7));
        assert_eq!(client.status().await.generation, 7);
    }
    let meet = v1::ClusterMeetRequest { ip: "localhost".into(), port: 1, ..Default::default() };
    assert_eq!(refused(client.0.cluster_meet(at(9, meet)).await).0, Code::InvalidArgument);
    assert_eq!(client.status().await.generation, 7, "a request that is refused raises nothing");
    client.wait_state(v1::RedisState::Running).await;
    client.0.cluster_complete(at(8, v1::ClusterCompleteRequest {})).await.unwrap();
}
