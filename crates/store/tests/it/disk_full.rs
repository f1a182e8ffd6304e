//! No room on the disk of the database: what is asked is refused as something that passes, nothing is half written, and
//! with room everything goes on, on the same connections' pool.

use redtrove_store::contract::{Bed, hammer};
use redtrove_store::{connect, migrate};
use redtrove_testkit::SmallDisk;
use redtrove_testkit::mariadb::MariaDb;

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// Clusters are asked for until there is no room, then until there is.
async fn refuses_and_goes_on(address: &str, disk: &SmallDisk, words: &str) {
    migrate(address).await.unwrap();
    let (store, second) = (connect(address).await.unwrap(), connect(address).await.unwrap());
    let bed = Bed::new(store.clone(), second.clone()).await;
    disk.fill().unwrap();
    let (mut taken, refusal) = hammer::until_refused(&bed).await;
    assert!(chain(&refusal).contains(words), "{}", chain(&refusal));
    let (more, _) = hammer::until_refused(&bed).await;
    assert!(more.len() < 3, "it is still full");

    disk.make_room().unwrap();
    taken.extend(more);
    hammer::assert_taken(&bed, &taken).await;
    hammer::under_fire(bed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_on_a_full_disk_refuses_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 8).unwrap() else { return };
    let address = format!("sqlite://{}", disk.place().join("redtrove.db").display());
    refuses_and_goes_on(&address, &disk, "full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_on_a_full_disk_refuses_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 220).unwrap() else { return };
    let server = MariaDb::start(&disk.place().join("server")).unwrap();
    let address = server.database("full").unwrap();
    refuses_and_goes_on(&address, &disk, "full").await;
}
