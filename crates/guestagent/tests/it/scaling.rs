//! Nodes join a cluster that serves, and leave it.

use std::time::{Duration, Instant};

use redtrove_guest_rpc::v1;
use tonic::Code;

use crate::forming::{agent_timeout, agreed, formed, meet};
use crate::harness::{Agent, Client, World, at, refused, wait_for};

/// Has `number` new nodes join the cluster.
pub(crate) async fn join(world: &World, agents: &mut Vec<Agent>, clients: &mut Vec<Client>, number: usize) {
    let (more, their_clients) = joiners(world, agents.len() + 1, number).await;
    meet_all(agents, &more, &their_clients).await;
    agents.extend(more);
    clients.extend(their_clients);
    agreed(clients, agents.len()).await;
}

/// `number` prepared nodes, the first of which is node `first`.
async fn joiners(world: &World, first: usize, number: usize) -> (Vec<Agent>, Vec<Client>) {
    let (mut agents, mut clients) = (Vec::new(), Vec::new());
    for n in first..first + number {
        let agent = world.agent(u8::try_from(n).unwrap()).await;
        let mut client = world.control(&agent).await;
        client.prepare(&agent).await;
        agents.push(agent);
        clients.push(client);
    }
    (agents, clients)
}

/// Each joiner meets everyone who was there before it, and only joiners run a short node timeout.
async fn meet_all(serving: &[Agent], joiners: &[Agent], clients: &[Client]) {
    for (n, client) in clients.iter().enumerate() {
        let node = client.clone_topology().await.node_id;
        for agent in serving.iter().chain(&joiners[..n]) {
            let request = v1::ClusterMeetRequest {
                ip: agent.ip.to_string(),
                port: 6379,
                forming_node_timeout_ms: Some(500),
                expected_node_id: Some(node.clone()),
            };
            client.0.clone().cluster_meet(at(1, request)).await.unwrap();
        }
    }
}

async fn ids(clients: &mut [Client]) -> Vec<String> {
    let mut ids = Vec::new();
    for client in clients {
        ids.push(client.topology().await.node_id);
    }
    ids
}

#[tokio::test]
async fn joiners_are_known_at_once_and_the_members_keep_their_node_timeout() {
    // With the product's node timeout on the joiners, too, it takes five seconds and more each time; on a busy machine it
    // may once.
    let mut took = Vec::new();
    let (_world, agents, mut clients) = loop {
        let world = World::new();
        // Prepared before the others form, as a master says that the cluster is not well for two seconds after its start.
        let (more, their_clients) = joiners(&world, 4, 2).await;
        let (mut agents, mut clients) = formed(&world).await;
        let begun = Instant::now();
        meet_all(&agents, &more, &their_clients).await;
        agents.extend(more);
        clients.extend(their_clients);
        agreed(&mut clients, 5).await;
        took.push(begun.elapsed());
        if begun.elapsed() < Duration::from_secs(3) {
            break (world, agents, clients);
        }
        assert!(took.len() < 3, "five nodes agree after {took:?}");
    };
    for (n, agent) in agents.iter().enumerate() {
        assert_eq!(agent_timeout(agent).await, if n < 3 { "15000" } else { "500" }, "node {n}");
    }
    let joiner = clients[3].topology().await;
    assert!(!joiner.complete && joiner.nodes.iter().filter(|node| node.myself).all(|node| node.slots.is_empty()));
    assert!(agents[3].cli(&["get", "k"]).contains("NOAUTH"), "it lets nobody in yet");
    for (client, agent) in clients[3..].iter_mut().zip(&agents[3..]) {
        client.complete().await;
        assert_eq!(agent_timeout(agent).await, "15000");
        assert!(agent.cli(&["get", "k"]).contains("MOVED"));
    }
}

#[tokio::test]
async fn only_the_joiner_that_is_meant_and_does_not_serve_yet_runs_a_short_node_timeout() {
    let world = World::new();
    let (agents, mut clients) = formed(&world).await;
    let joiner = world.agent(4).await;
    let mut joining = world.control(&joiner).await;
    let (mine, serving) = (joiner.ip.to_string(), agents[0].ip.to_string());
    let request = |ip: &str, expected: &str| v1::ClusterMeetRequest {
        ip: ip.to_owned(),
        port: 6379,
        forming_node_timeout_ms: Some(500),
        expected_node_id: Some(expected.to_owned()),
    };
    let zero = "0".repeat(40);
    let (code, message) = refused(joining.0.cluster_meet(at(1, request(&serving, &zero))).await);
    assert_eq!((code, message.contains("not prepared")), (Code::FailedPrecondition, true), "{message}");
    joining.prepare(&joiner).await;
    let node = joining.topology().await.node_id;
    let (code, message) = refused(joining.0.cluster_meet(at(1, request(&serving, &zero))).await);
    assert_eq!((code, message.contains(&node)), (Code::FailedPrecondition, true), "{message}");
    assert_eq!((agent_timeout(&joiner).await.as_str(), joining.topology().await.nodes.len()), ("15000", 1));

    let member = clients[0].topology().await.node_id;
    let (code, message) = refused(clients[0].0.cluster_meet(at(1, request(&mine, &member))).await);
    assert_eq!((code, message.contains("complete")), (Code::FailedPrecondition, true), "{message}");
    assert_eq!((agent_timeout(&agents[0]).await.as_str(), clients[0].topology().await.nodes.len()), ("15000", 3));
    let plain = v1::ClusterMeetRequest { forming_node_timeout_ms: None, ..request(&mine, &member) };
    clients[0].0.cluster_meet(at(1, plain)).await.expect("a complete node may meet others");
}

#[tokio::test]
async fn a_node_that_left_is_not_brought_back_by_members_that_remember_it() {
    let world = World::new();
    let (mut agents, mut clients) = formed(&world).await;
    join(&world, &mut agents, &mut clients, 2).await;
    for client in &mut clients[3..] {
        client.complete().await;
    }
    let before = ids(&mut clients).await;
    clients[3].close(&before[3]).await.unwrap();
    clients[3].leave(&before[3]).await.unwrap();
    let gone = clients[3].topology().await;
    assert_eq!((gone.left_node_id.as_ref(), gone.nodes.len()), (Some(&before[3]), 1));
    assert!(gone.node_id != before[3] && gone.nodes[0].slots.is_empty(), "{gone:?}");

    // They call at its address, find another node there, and hold theirs for one without an address.
    for client in [&clients[0], &clients[1], &clients[2], &clients[4]] {
        wait_for("the members to miss it", || async {
            let nodes = client.clone_topology().await.nodes;
            let line = nodes.iter().find(|node| node.node_id == before[3]).expect("nobody has forgotten it");
            assert!(nodes.len() == 5, "{nodes:?}");
            (line.noaddr && !line.connected && line.slots.is_empty()).then_some(())
        })
        .await;
    }
    let after = clients[3].topology().await;
    assert_eq!((after.node_id, after.nodes.len()), (gone.node_id.clone(), 1), "and it hears nothing of them");

    let forget = v1::RemoveNodesRequest { node_ids: vec![before[3].clone()] };
    for client in &mut clients {
        client.0.remove_nodes(at(1, forget.clone())).await.expect("also of itself, where it is somebody else now");
    }
    let [a, b, c, _, e] = <[Client; 5]>::try_from(clients).ok().unwrap();
    let mut staying = [a, b, c, e];
    agreed(&mut staying, 4).await;
    for client in &mut staying {
        let nodes = client.topology().await.nodes;
        assert!(nodes.iter().all(|node| node.node_id != before[3] && node.node_id != gone.node_id), "{nodes:?}");
    }
    // Whoever meets the address by hand gets the node that is there now; the call repeated ends that.
    meet(&mut staying[0], &agents[3]).await;
    let mut left = world.control(&agents[3]).await;
    wait_for("the two to meet", || async { (left.clone_topology().await.nodes.len() > 1).then_some(()) }).await;
    left.leave(&before[3]).await.unwrap();
    assert_eq!(left.topology().await.nodes.len(), 1);
}

#[tokio::test]
async fn a_handshake_that_leads_nowhere_does_not_hinder_forgetting() {
    let world = World::new();
    let (_agents, mut clients) = formed(&world).await;
    let ids = ids(&mut clients).await;
    let nobody = v1::ClusterMeetRequest { ip: world.ip(9).to_string(), port: 6379, ..Default::default() };
    clients[0].0.cluster_meet(at(1, nobody)).await.unwrap();
    let shaking = clients[0].topology().await.nodes.into_iter().find(|node| node.handshake).expect("a handshake");
    let forget = |ids: &[&str]| v1::RemoveNodesRequest { node_ids: ids.iter().map(ToString::to_string).collect() };
    let unknown = "0".repeat(40);
    clients[0].0.remove_nodes(at(1, forget(&[&unknown]))).await.expect("not known is forgotten");
    clients[0].0.remove_nodes(at(1, forget(&[&unknown, &ids[2], &shaking.node_id]))).await.unwrap();
    let left: Vec<String> = clients[0].topology().await.nodes.into_iter().map(|node| node.node_id).collect();
    assert!(left.len() == 2 && left.contains(&ids[0]) && left.contains(&ids[1]), "{left:?}");
}

#[tokio::test]
async fn a_node_that_cannot_be_forgotten_is_told_with_the_reply() {
    let world = World::new();
    let (agents, mut clients) = joiners(&world, 1, 2).await;
    meet_all(&agents[..1], &agents[1..], &clients[1..]).await;
    let master = clients[0].topology().await.node_id;
    let replicate = || async { (agents[1].own_cli(&["cluster", "replicate", &master]) == "OK").then_some(()) };
    wait_for("the handshake", replicate).await;
    let forget = v1::RemoveNodesRequest { node_ids: vec!["0".repeat(40), master.clone()] };
    let (code, message) = refused(clients[1].0.remove_nodes(at(1, forget)).await);
    assert_eq!((code, message.contains("Can't forget my master")), (Code::FailedPrecondition, true), "{message}");
    assert!(message.contains(&master), "{message}");
}
