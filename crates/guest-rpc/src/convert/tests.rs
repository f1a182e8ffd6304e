//! What is written reads back, and what cannot be right is refused by name.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn ids() -> impl Strategy<Value = NodeId> {
    "[0-9a-f]{40}".prop_map(|text| text.parse().unwrap())
}

fn ranges() -> impl Strategy<Value = SlotRange> {
    (0u32..16_384, 0u32..16_384).prop_map(|(a, b)| SlotRange::new(a.min(b), a.max(b)).unwrap())
}

fn addresses() -> impl Strategy<Value = NodeAddress> {
    let ip = prop_oneof![
        Just(String::new()),
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
    ];
    (ip, any::<u16>(), prop::option::of(1u16..), prop::option::of("[a-z][a-z0-9.-]{0,30}"))
        .prop_map(|(ip, port, bus_port, hostname)| NodeAddress { ip, port, bus_port, hostname })
}

fn lines() -> impl Strategy<Value = NodeLine> {
    let open = || prop::collection::vec((0u16..16_384, ids()), 0..3);
    let reach = prop::sample::select(vec![Reach::Fine, Reach::Suspected, Reach::Failed]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let slots = prop::collection::vec(ranges(), 0..4);
    (ids(), addresses(), flags, prop::option::of(ids()), reach, any::<u64>(), slots, open(), open()).prop_map(
        |(id, address, flags, replicates, reach, config_epoch, slots, migrating, importing)| NodeLine {
            id,
            address,
            myself: false,
            master: flags.0,
            replicates,
            reach,
            handshake: flags.1,
            noaddr: flags.2,
            config_epoch,
            connected: flags.3,
            slots: slots.into_iter().collect(),
            migrating,
            importing,
        },
    )
}

proptest! {
    #[test]
    fn a_view_reads_back(
        own in lines(),
        mut others in prop::collection::vec(lines(), 0..4),
        numbers in any::<(bool, u64, u64, bool)>(),
        closed_for in prop::option::of(any::<u64>().prop_map(Duration::from_millis)),
        left in prop::option::of(ids()),
    ) {
        others.insert(others.len() / 2, NodeLine { myself: true, ..own.clone() });
        let (state_ok, keys, uptime_seconds, complete) = numbers;
        let view = NodeView { myself: own.id, nodes: others, state_ok, keys, uptime_seconds, complete, closed_for, left };
        prop_assert_eq!(NodeView::try_from(v1::GetTopologyResponse::from(view.clone())), Ok(view));
    }

    #[test]
    fn a_closing_is_told_to_the_millisecond(nanos in any::<u64>()) {
        let time = Duration::from_nanos(nanos);
        let response = v1::GetTopologyResponse::from(NodeView { closed_for: Some(time), ..alone() });
        let read = NodeView::try_from(response).unwrap().closed_for.unwrap();
        prop_assert!(read <= time && time - read < Duration::from_millis(1));
    }

    #[test]
    fn a_range_is_read_or_refused_by_name(first in any::<u32>(), last in any::<u32>()) {
        let fits = first <= last && last < 16_384;
        let read = SlotRange::try_from(v1::SlotRange { first, last });
        prop_assert_eq!(read.is_ok(), fits);
        if let Err(error) = read {
            prop_assert_eq!(error.field, if first >= 16_384 { "first" } else { "last" });
        }
    }
}

fn alone() -> NodeView {
    let id = v1::Node { node_id: "0".repeat(40), myself: true, role: v1::Role::Master.into(), ..v1::Node::default() };
    let answer =
        v1::GetTopologyResponse { node_id: "0".repeat(40), nodes: vec![id], ..v1::GetTopologyResponse::default() };
    answer.try_into().unwrap()
}

#[test]
fn a_closing_longer_than_can_be_told_is_the_longest() {
    let response = v1::GetTopologyResponse::from(NodeView { closed_for: Some(Duration::MAX), ..alone() });
    assert_eq!(response.closed_for_ms, Some(u64::MAX));
    let response = v1::GetTopologyResponse { left_node_id: Some("x".into()), ..response };
    assert_eq!(NodeView::try_from(response).unwrap_err().field, "left_node_id");
}

#[test]
fn every_redis_state_reads_back() {
    for state in RedisState::ALL {
        assert_eq!(RedisState::from(v1::RedisState::from(state)), state);
    }
}

#[test]
fn what_cannot_be_right_is_refused_by_its_path() {
    let id = "07c37dfeb235213a872192d90877d0cd55635b91".to_owned();
    let good = v1::Node { node_id: id.clone(), myself: true, role: v1::Role::Master.into(), ..v1::Node::default() };
    let view = |node: v1::Node| {
        NodeView::try_from(v1::GetTopologyResponse {
            node_id: id.clone(),
            nodes: vec![node],
            ..v1::GetTopologyResponse::default()
        })
    };
    assert!(view(good.clone()).is_ok());
    let open = |slot, node_id: &str| vec![v1::OpenSlot { slot, node_id: node_id.to_owned() }];
    for (node, field) in [
        (v1::Node { node_id: "x".into(), ..good.clone() }, "nodes[0].node_id"),
        (v1::Node { port: 65_536, ..good.clone() }, "nodes[0].port"),
        (v1::Node { bus_port: 70_000, ..good.clone() }, "nodes[0].bus_port"),
        (v1::Node { role: 0, ..good.clone() }, "nodes[0].role"),
        (v1::Node { replicates: Some(String::new()), ..good.clone() }, "nodes[0].replicates"),
        (v1::Node { slots: vec![v1::SlotRange { first: 2, last: 1 }], ..good.clone() }, "nodes[0].slots[0].last"),
        (v1::Node { migrating: open(16_384, &id), ..good.clone() }, "nodes[0].migrating[0].slot"),
        (v1::Node { importing: open(1, "?"), ..good.clone() }, "nodes[0].importing[0].node_id"),
        (v1::Node { myself: false, ..good.clone() }, "nodes"),
    ] {
        assert_eq!(view(node).unwrap_err().field, field);
    }
    let status = tonic::Status::from(InvalidField::new("port", "is 0"));
    assert_eq!((status.code(), status.message()), (tonic::Code::InvalidArgument, "port: is 0"));
}
