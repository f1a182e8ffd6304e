//! No room on the disk of the database: what is asked is refused as something that passes, nothing is half written, and
//! with room everything goes on, on the same connections' pool.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use redtrove_store::contract::{Bed, hammer};
use redtrove_store::{connect, migrate};
use redtrove_testkit::mariadb::MariaDb;

/// A file system of this size in memory; it goes with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u32) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "redtrove-test"]).arg(at).output();
        let mount = mount.map_err(|error| error.to_string())?;
        if !mount.status.success() {
            return Err(String::from_utf8_lossy(&mount.stderr).into_owned());
        }
        Ok(Self(at.to_owned()))
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        let block = vec![0x5a; 64 * 1024];
        for size in [block.len(), 4096, 1] {
            while file.write_all(&block[..size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may only just be gone.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Says what was left out; in CI nothing may be.
fn left_out(reason: &str) {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!is_ci, "a small disk cannot be mounted, and nothing may be left out in CI: {reason}");
    eprintln!("left out: what needs a disk that is full ({reason})");
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// Clusters are asked for until there is no room, then until there is.
async fn refuses_and_goes_on(address: &str, disk: &SmallDisk, words: &str) {
    migrate(address).await.unwrap();
    let (store, second) = (connect(address).await.unwrap(), connect(address).await.unwrap());
    let bed = Bed::new(store.clone(), second.clone()).await;
    disk.fill();
    let (mut taken, refusal) = hammer::until_refused(&bed).await;
    assert!(chain(&refusal).contains(words), "{}", chain(&refusal));
    let (more, _) = hammer::until_refused(&bed).await;
    assert!(more.len() < 3, "it is still full");

    disk.make_room();
    taken.extend(more);
    hammer::assert_taken(&bed, &taken).await;
    hammer::under_fire(bed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_on_a_full_disk_refuses_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(&dir.path().join("disk"), 8) {
        Ok(disk) => disk,
        Err(reason) => return left_out(&reason),
    };
    let address = format!("sqlite://{}", disk.0.join("redtrove.db").display());
    refuses_and_goes_on(&address, &disk, "full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_on_a_full_disk_refuses_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(&dir.path().join("disk"), 220) {
        Ok(disk) => disk,
        Err(reason) => return left_out(&reason),
    };
    let server = MariaDb::start(&disk.0.join("server")).unwrap();
    let address = server.database("full").unwrap();
    refuses_and_goes_on(&address, &disk, "full").await;
}
