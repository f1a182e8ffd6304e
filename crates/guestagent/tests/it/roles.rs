//! Who may call what.

use std::error::Error;

use rcgen::ExtendedKeyUsagePurpose;
use redtrove_guest_rpc::v1;
use redtrove_guest_rpc::v1::guest_agent_client::GuestAgentClient;
use tokio::io::AsyncReadExt as _;
use tonic::{Code, Request};

use crate::harness::{Client, LIMIT, World, at, prepare_request, refused};

/// The code of each changing method for this caller.
async fn changes(client: &mut Client, prepare: v1::PrepareRequest) -> Vec<Code> {
    let client = &mut client.0;
    let meet = v1::ClusterMeetRequest { ip: "10.0.0.1".into(), port: 6379, ..Default::default() };
    let slots = v1::ClusterAddslotsRequest::default();
    let remove = v1::RemoveNodesRequest { node_ids: vec!["0".repeat(40)] };
    vec![
        refused(client.prepare(at(1, prepare)).await).0,
        refused(client.cluster_meet(at(1, meet)).await).0,
        refused(client.cluster_addslots(at(1, slots)).await).0,
        refused(client.remove_nodes(at(1, remove)).await).0,
        refused(client.close_to_tenants(at(1, v1::CloseToTenantsRequest { expected_node_id: "0".repeat(40) })).await).0,
        refused(client.reopen_to_tenants(at(1, v1::ReopenToTenantsRequest { expected_node_id: "0".repeat(40) })).await)
            .0,
        refused(client.leave_cluster(at(1, v1::LeaveClusterRequest { expected_node_id: "0".repeat(40) })).await).0,
        refused(client.cluster_complete(at(1, v1::ClusterCompleteRequest {})).await).0,
    ]
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut reader = world.reader(&agent).await;
    assert_eq!(changes(&mut reader, prepare_request(&agent)).await, [Code::PermissionDenied; 8]);
    assert_eq!(reader.status().await.state(), v1::RedisState::Unprepared);
    reader.0.get_node_ip(v1::GetNodeIpRequest {}).await.unwrap();
    let unprepared = [
        refused(reader.0.get_topology(v1::GetTopologyRequest {}).await).0,
        refused(reader.0.get_node_id_for_removal(v1::GetNodeIdForRemovalRequest {}).await).0,
    ];
    assert_eq!(unprepared, [Code::FailedPrecondition; 2]);
}

#[tokio::test]
async fn a_client_without_a_role_may_not_even_read() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.client_named(&agent, "somebody.example").await;
    assert_eq!(refused(client.0.get_status(v1::GetStatusRequest {}).await).0, Code::PermissionDenied);
    assert_eq!(changes(&mut client, prepare_request(&agent)).await, [Code::PermissionDenied; 8]);
}

#[tokio::test]
async fn tls_refuses_guests_strangers_and_the_nameless() {
    let world = World::new();
    let agent = world.agent(1).await;
    let guest = world.papers(&agent.instance, ExtendedKeyUsagePurpose::ServerAuth);
    let forged = world.papers("control.role.redtrove", ExtendedKeyUsagePurpose::ServerAuth);
    let stranger = World::new().papers("control.role.redtrove", ExtendedKeyUsagePurpose::ClientAuth);
    for papers in [Some(guest), Some(forged), Some(stranger), None] {
        // With TLS 1.3 the refusal may arrive with the first call only.
        if let Ok(channel) = world.channel(&agent, papers).await {
            let answer = GuestAgentClient::new(channel).get_status(Request::new(v1::GetStatusRequest {})).await;
            let error = answer.unwrap_err();
            let transport = error.source().is_some_and(|source| source.is::<tonic::transport::Error>());
            assert!(transport, "{error:?}");
        }
    }
    world.reader(&agent).await.status().await;
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_hung_up_on() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut silent = tokio::net::TcpStream::connect((agent.ip, 8780)).await.unwrap();
    let hung_up = tokio::time::timeout(LIMIT, silent.read(&mut [0; 1])).await;
    assert!(matches!(hung_up, Ok(Ok(0) | Err(_))), "{hung_up:?}");
}
