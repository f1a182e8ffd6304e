//! What any gRPC tool and any operator finds: health, reflection, the flags of the program.

use rcgen::ExtendedKeyUsagePurpose;
use redtrove_guest_rpc::role::READER_NAME;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::World;

#[tokio::test]
async fn health_and_reflection_are_served() {
    let world = World::new();
    let agent = world.agent(1).await;
    let papers = world.papers(READER_NAME, ExtendedKeyUsagePurpose::ClientAuth);
    let channel = world.channel(&agent, Some(papers)).await.unwrap();
    for service in ["", "redtrove.guest.v1.GuestAgent"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let stream = tonic::codegen::tokio_stream::iter([request]);
    let mut answers = ServerReflectionClient::new(channel).server_reflection_info(stream).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"redtrove.guest.v1.GuestAgent") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
}

#[tokio::test]
async fn the_configuration_can_be_checked_and_shown() {
    let world = World::new();
    let agent = world.agent(1).await;
    assert!(agent.command().arg("--check-config").output().unwrap().status.success());
    let shown = agent.command().arg("--dump-config").output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && text.contains("port = 8780") && text.contains(&agent.instance), "{text}");

    std::fs::write(&agent.config, "[guestagent]\nbroker = 1\n").unwrap();
    let refused = agent.command().output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(text.contains("line 2") && text.contains("broker"), "{text}");
}
