//! Every row of the validation table, and the promise that nothing invalid gets through.

use std::collections::BTreeMap;

use proptest::prelude::{any, prop, prop_assert, prop_oneof, proptest};
use uuid::Uuid;

use super::*;
use crate::ids::DatastoreId;
use crate::placement::{Nic, Placement};
use crate::topology::Engine;

fn label(text: &str) -> Label {
    text.to_owned().try_into().unwrap()
}

fn version(number: u128, name: &str, active: bool, is_default: bool) -> DatastoreVersion {
    let (id, settings) = (DatastoreVersionId(Uuid::from_u128(number)), BTreeMap::new());
    DatastoreVersion { id, name: name.into(), engine: Engine::Redis, active, is_default, settings }
}

fn datastores() -> Vec<Datastore> {
    let of = |number, name: &str, versions| Datastore {
        id: DatastoreId(Uuid::from_u128(number)),
        name: name.into(),
        versions,
    };
    vec![
        of(
            1,
            "redis",
            vec![version(11, "6.2", false, false), version(12, "7.0", true, true), version(13, "3.0", true, false)],
        ),
        of(2, "keydb", vec![version(21, "6", true, false)]),
    ]
}

fn flavors() -> Vec<Flavor> {
    let of =
        |id: &str, ephemeral| Flavor { id: id.into(), name: format!("m{id}"), ram: 512, vcpus: 1, disk: 5, ephemeral };
    vec![of("1", 0), of("2", 20), of("big-one", 40)]
}

fn wanted(members: Vec<WantedMember>) -> WantedCluster {
    let (name, datastore) = (label("redis-clstr"), label("redis"));
    WantedCluster { name, datastore, version: None, members, locality: None, configuration: false }
}

fn member(flavor: &str, volume_gb: Option<u64>) -> WantedMember {
    WantedMember { flavor: Some(flavor.into()), volume_gb, ..WantedMember::default() }
}

fn checked(wanted: WantedCluster, volume_support: bool) -> Result<CreateCluster, (u16, String)> {
    let (datastores, flavors) = (datastores(), flavors());
    let offer =
        Offer { datastores: &datastores, flavors: &flavors, cluster_support: true, volume_support, max_volume_gb: 10 };
    CreateCluster::check(wanted, &offer).map_err(|fault| (fault.kind.code(), fault.message))
}

fn refused(wanted: WantedCluster, volume_support: bool) -> (u16, String) {
    checked(wanted, volume_support).unwrap_err()
}

#[test]
fn a_good_request_keeps_what_it_asks_for() {
    let request = checked(wanted(vec![member("2", Some(2)); 4]), true).unwrap();
    assert_eq!(request.name(), "redis-clstr");
    assert_eq!((request.datastore().datastore.as_str(), request.datastore().version.as_str()), ("redis", "7.0"));
    assert_eq!(request.members().len(), 4);
    assert!(request.members().iter().all(|m| m.flavor.id == "2" && m.volume_gb == 2));
}

#[test]
fn a_version_is_found_by_name_and_id_and_by_default() {
    let with = |datastore: &str, version: Option<&str>| WantedCluster {
        datastore: label(datastore),
        version: version.map(label),
        ..wanted(vec![member("1", Some(1))])
    };
    let id = |number| Uuid::from_u128(number).to_string();
    for (datastore, version, found) in [
        ("redis", Some("3.0"), "3.0"),
        ("redis", Some(id(13).as_str()), "3.0"),
        (id(1).as_str(), Some("7.0"), "7.0"),
        ("redis", None, "7.0"),
    ] {
        assert_eq!(checked(with(datastore, version), true).unwrap().datastore().version, found);
    }
    for (datastore, version, code, part) in [
        ("mysql", None, 404, "Datastore 'mysql' cannot be found."),
        ("redis", Some("9"), 400, "Datastore version '9' cannot be found."),
        ("redis", Some(id(99).as_str()), 404, "cannot be found."),
        ("redis", Some(id(21).as_str()), 404, "cannot be found."),
        ("redis", Some("6.2"), 400, "'6.2' is not active."),
        ("keydb", None, 400, "has no default version"),
    ] {
        let (got, message) = refused(with(datastore, version), true);
        assert!(got == code && message.contains(part), "{datastore} {version:?}: {got} {message}");
    }
}

#[test]
fn each_refusal_has_its_code_and_sentence() {
    let two = |a, b| wanted(vec![a, b]);
    let one = |m| wanted(vec![m]);
    let no_flavor = WantedMember { volume_gb: Some(1), ..WantedMember::default() };
    for (wanted, volumes, code, message) in [
        (two(member("1", Some(1)), no_flavor), true, 403, "A flavor is required for each instance in the cluster."),
        (one(member("9", Some(1))), true, 404, "Flavor not found: '9'."),
        (one(member("1", None)), true, 400, "A volume size is required for each instance in the cluster."),
        (one(member("2", Some(1))), false, 501, "Volume support is not enabled."),
        (one(member("1", None)), false, 403, "Local storage not specified in flavor ID: 1."),
        (
            two(member("1", Some(1)), member("2", Some(1))),
            true,
            400,
            "The flavor for each instance in a cluster must be the same.",
        ),
        (
            two(member("1", Some(1)), member("1", Some(2))),
            true,
            400,
            "The volume size for each instance in a cluster must be the same.",
        ),
        (one(member("1", Some(11))), true, 413, "Volume 'size' cannot exceed maximum of 10 Gb, 11 cannot be accepted."),
    ] {
        assert_eq!(refused(wanted, volumes), (code, message.to_owned()));
    }
    let module = Uuid::from_u128(5);
    let moduled = WantedMember { modules: vec![module], ..member("1", Some(1)) };
    assert_eq!(refused(one(moduled), true), (404, format!("Module {module} cannot be found.")));
    let placed = WantedCluster { locality: Some(label("near")), ..one(member("1", Some(1))) };
    assert_eq!(refused(placed, true).1, "Invalid locality 'near'. Must be one of ['affinity', 'anti-affinity'].");
    let configured = WantedCluster { configuration: true, ..one(member("1", Some(1))) };
    assert_eq!(refused(configured, true).0, 400);
}

#[test]
fn where_members_are_to_be_is_kept_and_their_networks_are_one() {
    let at = |network: Option<u128>| {
        let nic = network.map(|number| Nic { network: Some(Uuid::from_u128(number)), ..Nic::default() });
        let zone = Some("nova".to_owned());
        let placement = Placement { nic, availability_zone: zone, ..Placement::default() };
        WantedMember { placement, ..member("1", Some(1)) }
    };
    let placed =
        WantedCluster { locality: Some(label("anti-affinity")), ..wanted(vec![at(Some(7)), at(Some(7)), at(None)]) };
    let request = checked(placed, true).unwrap();
    assert_eq!(request.locality(), Some(Locality::AntiAffinity));
    assert_eq!(request.members()[0].placement, at(Some(7)).placement);
    assert_eq!(checked(wanted(vec![at(None)]), true).unwrap().locality(), None);
    let message = "The network for each instance in a cluster must be the same.".to_owned();
    assert_eq!(refused(wanted(vec![at(Some(7)), at(None), at(Some(8))]), true), (400, message));
}

#[test]
fn one_to_a_thousand_members() {
    for (count, fits) in [(0, false), (1, true), (1000, true), (1001, false)] {
        assert_eq!(checked(wanted(vec![member("1", Some(1)); count]), true).is_ok(), fits, "{count}");
    }
}

#[test]
fn without_volumes_the_ephemeral_disk_counts() {
    let request = checked(wanted(vec![member("2", None)]), false).unwrap();
    assert_eq!(request.members()[0].volume_gb, 20);
}

#[test]
fn switched_off_clusters_are_refused_by_datastore_and_version() {
    let (datastores, flavors) = (datastores(), flavors());
    let offer = Offer {
        datastores: &datastores,
        flavors: &flavors,
        cluster_support: false,
        volume_support: true,
        max_volume_gb: -1,
    };
    let fault = CreateCluster::check(wanted(vec![member("1", Some(1))]), &offer).unwrap_err();
    assert_eq!((fault.kind.code(), fault.message.as_str()), (501, "Clusters not supported for redis-7.0."));
}

proptest! {
    #[test]
    fn nothing_invalid_gets_through(
        members in prop::collection::vec(
            (prop::option::weighted(0.9, "(1|2)"), prop::option::of(prop_oneof![0..3u64, any::<u64>()])),
            0..4,
        ),
        volume_support in any::<bool>(),
        max_volume_gb in prop::sample::select(vec![-1i64, 0, 10, i64::MAX]),
    ) {
        let (datastores, flavors) = (datastores(), flavors());
        let offer = Offer { datastores: &datastores, flavors: &flavors, cluster_support: true, volume_support, max_volume_gb };
        let members = members.into_iter().map(|(flavor, volume_gb)| WantedMember { flavor, volume_gb, ..WantedMember::default() }).collect();
        if let Ok(request) = CreateCluster::check(wanted(members), &offer) {
            prop_assert!((1..=MOST_MEMBERS).contains(&request.members().len()));
            let sum: u64 = request.members().iter().map(|m| m.volume_gb).sum();
            prop_assert!(i64::try_from(sum).is_ok());
            for member in request.members() {
                prop_assert!(member.volume_gb >= 1);
                prop_assert!(flavors.contains(&member.flavor));
                prop_assert!(!volume_support || max_volume_gb < 0 || member.volume_gb <= max_volume_gb as u64);
            }
        }
    }
}
