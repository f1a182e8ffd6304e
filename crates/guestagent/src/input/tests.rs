//! Every kind of bad input, and the field that it is refused by.

use super::*;

const ID: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
const INSTANCE: &str = "416b0b16-ba55-4302-bbd3-ff566032e1c1";

#[test]
fn slots() {
    let good = v1::ClusterAddslotsRequest {
        first_slot: 0,
        last_slot: 16_383,
        config_epoch: Some(1),
        forming_node_timeout_ms: Some(500),
        expected_node_id: Some(ID.into()),
    };
    assert_eq!(add_slots(&good).unwrap().range.count(), 16_384);
    for (request, field) in [
        (v1::ClusterAddslotsRequest { first_slot: 16_384, ..good.clone() }, "first_slot"),
        (v1::ClusterAddslotsRequest { last_slot: 16_384, ..good.clone() }, "last_slot"),
        (v1::ClusterAddslotsRequest { last_slot: u32::MAX, ..good.clone() }, "last_slot"),
        (v1::ClusterAddslotsRequest { first_slot: 9, last_slot: 8, ..good.clone() }, "last_slot"),
        (v1::ClusterAddslotsRequest { config_epoch: Some(0), ..good.clone() }, "config_epoch"),
        (v1::ClusterAddslotsRequest { forming_node_timeout_ms: Some(99), ..good.clone() }, "forming_node_timeout_ms"),
        (
            v1::ClusterAddslotsRequest { forming_node_timeout_ms: Some(60_001), ..good.clone() },
            "forming_node_timeout_ms",
        ),
        (v1::ClusterAddslotsRequest { expected_node_id: Some("x".into()), ..good.clone() }, "expected_node_id"),
    ] {
        assert_eq!(add_slots(&request).unwrap_err().field, field, "{request:?}");
    }
}

#[test]
fn addresses() {
    let own = ("10.0.0.7".parse().unwrap(), 6379);
    let read = |ip: &str, port| meet(&v1::ClusterMeetRequest { ip: ip.into(), port, ..Default::default() }, own);
    assert!(read("10.0.0.7", 6380).is_ok());
    assert_eq!(read("10.0.0.7", 6379).unwrap_err(), InvalidField::new("ip", "is this node's own address"));
    assert!(read("10.0.0.1", 6379).is_ok() && read("fd00::1", 55_535).is_ok());
    for ip in [
        "",
        "localhost",
        "10.0.0",
        "10.0.0.256",
        "10.0.0.1:6379",
        "[fd00::1]",
        " 10.0.0.1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "10.0.0.1\n",
    ] {
        assert_eq!(read(ip, 6379).unwrap_err().field, "ip", "{ip:?}");
    }
    for port in [0, 55_536, 65_535, 65_536, 65_536 + 6379, u32::MAX] {
        assert_eq!(read("10.0.0.1", port).unwrap_err().field, "port", "{port}");
    }
}

#[test]
fn joiners() {
    let own = ("10.0.0.7".parse().unwrap(), 6379);
    let good = v1::ClusterMeetRequest {
        ip: "10.0.0.1".into(),
        port: 6379,
        forming_node_timeout_ms: Some(100),
        expected_node_id: Some(ID.into()),
    };
    let read = meet(&good, own).unwrap();
    assert_eq!((read.timeout_ms, read.expected), (Some(100), Some(ID.parse().unwrap())));
    for ms in [0, 99, 60_001, u32::MAX] {
        let request = v1::ClusterMeetRequest { forming_node_timeout_ms: Some(ms), ..good.clone() };
        assert_eq!(meet(&request, own).unwrap_err().field, "forming_node_timeout_ms", "{ms}");
    }
    for id in ["", "x", &ID.to_uppercase()] {
        let request = v1::ClusterMeetRequest { expected_node_id: Some(id.into()), ..good.clone() };
        assert_eq!(meet(&request, own).unwrap_err().field, "expected_node_id", "{id}");
        assert_eq!(expected_node(id).unwrap_err().field, "expected_node_id", "{id}");
    }
}

#[test]
fn node_ids() {
    let read = |ids: &[&str]| {
        remove_nodes(&v1::RemoveNodesRequest { node_ids: ids.iter().map(ToString::to_string).collect() })
    };
    assert_eq!(read(&[ID, ID]).unwrap().len(), 1, "asked for twice, forgotten once");
    assert_eq!(read(&[]).unwrap_err().field, "node_ids");
    assert_eq!(read(&vec![ID; 1001]).unwrap_err().field, "node_ids");
    assert_eq!(read(&[ID, "x"]).unwrap_err().field, "node_ids[1]");
    assert_eq!(read(&[&ID.to_uppercase()]).unwrap_err().field, "node_ids[0]");
}

#[test]
fn preparations() {
    let engines = [(Engine::Redis, PathBuf::from("/usr/bin/redis-server"))].into();
    let read = |request| prepare(request, INSTANCE.parse().unwrap(), &engines);
    let good = v1::PrepareRequest {
        engine: "redis".into(),
        cluster_id: INSTANCE.replace("416", "516"),
        instance_id: INSTANCE.into(),
        ram_mb: 64,
        volume_gb: 1,
        settings: [("appendfsync".into(), "always".into())].into(),
    };
    assert!(read(good.clone()).is_ok());
    let nil = Uuid::nil().to_string();
    for (request, field) in [
        (v1::PrepareRequest { engine: "memcached".into(), ..good.clone() }, "engine"),
        (v1::PrepareRequest { engine: "valkey".into(), ..good.clone() }, "engine"),
        (v1::PrepareRequest { engine: "../redis".into(), ..good.clone() }, "engine"),
        (v1::PrepareRequest { cluster_id: String::new(), ..good.clone() }, "cluster_id"),
        (v1::PrepareRequest { cluster_id: nil.clone(), ..good.clone() }, "cluster_id"),
        (v1::PrepareRequest { instance_id: "x".into(), ..good.clone() }, "instance_id"),
        (v1::PrepareRequest { instance_id: nil, ..good.clone() }, "instance_id"),
        (v1::PrepareRequest { ram_mb: 63, ..good.clone() }, "ram_mb"),
        (v1::PrepareRequest { ram_mb: u64::MAX, ..good.clone() }, "ram_mb"),
        (v1::PrepareRequest { volume_gb: 0, ..good.clone() }, "volume_gb"),
        (v1::PrepareRequest { settings: [("dir".into(), "/".into())].into(), ..good.clone() }, "settings[\"dir\"]"),
    ] {
        assert_eq!(read(request.clone()).unwrap_err().field, field, "{request:?}");
    }
    let error = read(v1::PrepareRequest { engine: "valkey".into(), ..good }).unwrap_err();
    assert!(error.reason.ends_with("it has: redis"), "{error}");
}
