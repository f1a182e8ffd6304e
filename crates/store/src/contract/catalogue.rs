//! Datastores, versions, flavors.

use redtrove_core::catalogue::Flavor;
use redtrove_core::ids::DatastoreVersionId;
use redtrove_core::topology::Engine;
use redtrove_engine::ports::NewVersion;
use tokio::task::JoinSet;

use super::Bed;

pub(super) async fn a_version_is_added_once(bed: Bed) {
    let new = bed.new_version("valkey", "8.0");
    let new = NewVersion { engine: Engine::Valkey, ..new };
    assert!(bed.store.add_version(&new).await.unwrap());
    assert!(!bed.second.add_version(&new).await.unwrap(), "the same again");
    let twin = NewVersion { is_default: true, ..bed.new_version("valkey", "8.0") };
    assert!(!bed.store.add_version(&twin).await.unwrap(), "the same name");
    for name in ["8.0 ", "8.0A", "8.0a"] {
        assert!(bed.store.add_version(&bed.new_version("valkey", name)).await.unwrap(), "{name:?} is another name");
    }
    assert!(bed.store.add_version(&bed.new_version("Valkey", "8.0")).await.unwrap());

    let datastores = bed.store.datastores().await.unwrap();
    assert_eq!(datastores.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["Valkey", "redis", "valkey"]);
    let valkey = &datastores[2];
    assert_eq!(valkey.id, new.datastore_id);
    let names: Vec<_> = valkey.versions.iter().map(|version| version.name.as_str()).collect();
    assert_eq!(names, ["8.0", "8.0 ", "8.0A", "8.0a"]);
    let version = bed.store.version(new.version_id).await.unwrap().unwrap();
    assert_eq!(valkey.versions[0], version);
    assert_eq!((version.engine, version.active, version.is_default), (Engine::Valkey, true, false));
    assert_eq!(version.settings, new.settings);
    assert!(bed.store.version(DatastoreVersionId(bed.scattered())).await.unwrap().is_none());
}

pub(super) async fn the_default_moves(bed: Bed) {
    for name in ["7.2", "7.4"] {
        let new = NewVersion { is_default: true, ..bed.new_version("redis", name) };
        assert!(bed.store.add_version(&new).await.unwrap());
        let datastores = bed.store.datastores().await.unwrap();
        let defaults: Vec<_> = datastores[0].versions.iter().filter(|version| version.is_default).collect();
        assert_eq!(defaults.iter().map(|version| version.name.as_str()).collect::<Vec<_>>(), [name]);
    }
    let other = NewVersion { is_default: true, ..bed.new_version("valkey", "8.0") };
    assert!(bed.store.add_version(&other).await.unwrap());
    let datastores = bed.store.datastores().await.unwrap();
    assert!(datastores.iter().all(|datastore| datastore.default_version().is_some()), "each has its own");
}

pub(super) async fn racing_additions_add_one(bed: Bed) {
    let mut race = JoinSet::new();
    for runner in 0..8 {
        let new = bed.new_version("valkey", "8.0");
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { store.add_version(&new).await.unwrap() });
    }
    assert_eq!(race.join_all().await.into_iter().filter(|added| *added).count(), 1);
    let datastores = bed.store.datastores().await.unwrap();
    assert_eq!((datastores.len(), datastores[1].versions.len()), (2, 1));
}

pub(super) async fn flavors_are_replaced(bed: Bed) {
    let flavor =
        |id: &str, ram| Flavor { id: id.to_owned(), name: format!("m1.{id}"), ram, vcpus: 2, disk: 10, ephemeral: 5 };
    assert!(bed.store.flavors().await.unwrap().is_empty());
    let first = [flavor("1", 512), flavor("2", 1_024)];
    bed.store.put_flavors(&first).await.unwrap();
    assert_eq!(bed.second.flavors().await.unwrap(), first);
    let second = [flavor("2", 2_048), flavor("a", 64), flavor("B", 64)];
    let mut race = JoinSet::new();
    for runner in 0..6 {
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        let flavors = second.clone();
        race.spawn(async move { store.put_flavors(&flavors).await.unwrap() });
    }
    race.join_all().await;
    let [two, small_a, big_b] = second;
    assert_eq!(bed.store.flavors().await.unwrap(), [two, big_b, small_a], "by id, as its letters are encoded");
    bed.store.put_flavors(&[]).await.unwrap();
    assert!(bed.store.flavors().await.unwrap().is_empty());
}
