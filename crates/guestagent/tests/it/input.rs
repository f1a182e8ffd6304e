//! Bad input over the wire: INVALID_ARGUMENT with the name of the field, and nothing has happened.

use redtrove_guest_rpc::v1;
use tonic::{Code, Request};

use crate::harness::{World, at, prepare_request, refused};

#[tokio::test]
async fn bad_input_is_refused_by_field_and_changes_nothing() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let good = prepare_request(&agent);
    let setting = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let nil = "00000000-0000-0000-0000-000000000000".to_owned();
    for (request, field) in [
        (v1::PrepareRequest { engine: "memcached".into(), ..good.clone() }, "engine"),
        (v1::PrepareRequest { cluster_id: nil.clone(), ..good.clone() }, "cluster_id"),
        (v1::PrepareRequest { instance_id: nil, ..good.clone() }, "instance_id"),
        (v1::PrepareRequest { ram_mb: 0, ..good.clone() }, "ram_mb"),
        (v1::PrepareRequest { settings: setting("appendonly", "yes\nport 1"), ..good.clone() }, "settings"),
        (v1::PrepareRequest { settings: setting("port", "1"), ..good.clone() }, "settings"),
    ] {
        let (code, message) = refused(client.0.prepare(at(1, request)).await);
        assert!(code == Code::InvalidArgument && message.starts_with(field), "{field}: {code:?} {message}");
    }
    assert!(!agent.directory.join("redis.conf").exists(), "nothing is written when a request is refused");
    assert_eq!(client.status().await.generation, 0);

    client.prepare(&agent).await;
    let slots = |first_slot, last_slot| v1::ClusterAddslotsRequest { first_slot, last_slot, ..Default::default() };
    for (request, field) in
        [(slots(0, 16_384), "last_slot"), (slots(9, 8), "last_slot"), (slots(70_000, 1), "first_slot")]
    {
        let (code, message) = refused(client.0.cluster_addslots(at(1, request)).await);
        assert!(code == Code::InvalidArgument && message.starts_with(field), "{code:?} {message}");
    }
    let own = agent.ip.to_string();
    for (ip, port, field) in
        [("localhost", 6379, "ip"), ("10.0.0.1", 0, "port"), ("10.0.0.1", 65_536, "port"), (&own, 6379, "ip")]
    {
        let request = v1::ClusterMeetRequest { ip: ip.to_owned(), port, ..Default::default() };
        let (code, message) = refused(client.0.cluster_meet(at(1, request)).await);
        assert!(code == Code::InvalidArgument && message.starts_with(field), "{code:?} {message}");
    }
    let topology = client.topology().await;
    assert!(topology.nodes.len() == 1 && topology.nodes[0].slots.is_empty(), "{topology:?}");
}

#[tokio::test]
async fn a_change_needs_a_generation_and_a_request_id_is_one_or_none() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let complete = || v1::ClusterCompleteRequest {};
    let (code, message) = refused(client.0.cluster_complete(Request::new(complete())).await);
    assert!(code == Code::InvalidArgument && message.starts_with("redtrove-generation"), "{message}");
    for text in ["0", "-1", "one", "9223372036854775808"] {
        let mut request = Request::new(complete());
        request.metadata_mut().insert("redtrove-generation", text.parse().unwrap());
        assert_eq!(refused(client.0.cluster_complete(request).await).0, Code::InvalidArgument, "{text}");
    }
    let mut request = at(1, complete());
    request.metadata_mut().insert("x-openstack-request-id", "free text".parse().unwrap());
    assert_eq!(refused(client.0.cluster_complete(request).await).0, Code::InvalidArgument);

    let id = "req-416b0b16-ba55-4302-bbd3-ff566032e1c1";
    let mut request = at(1, prepare_request(&agent));
    request.metadata_mut().insert("x-openstack-request-id", id.parse().unwrap());
    client.0.prepare(request).await.unwrap();
    let log = std::fs::read_to_string(&agent.log).unwrap();
    assert!(log.contains(id), "{log}");
    let password = std::fs::read_to_string(agent.directory.join("agent.password")).unwrap();
    assert!(!log.contains(&password) && password.len() == 64);
}
