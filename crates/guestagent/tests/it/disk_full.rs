//! The node's volume is full: nothing is lost, callers are told, and all is well again when there is room.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redtrove_guest_rpc::v1;
use tonic::Code;

use crate::harness::{Agent, Client, World, at, prepare_request, refused, wait_for};

/// Unmounts as soon as its standard input ends, that is also when the test dies in whatever way.
const CLEANER: &str = "cat; umount -l \"$1\"";

/// A volume of four megabytes.
struct Volume {
    path: PathBuf,
    cleaner: Child,
}

impl Volume {
    /// Mounts it; none where this process may not. In CI nothing may be left out.
    fn mount(world: &World) -> Option<Self> {
        let path = world.place.path().join("volume");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", "size=4m", "redtrove-test"]).arg(&path).output().unwrap();
        if !output.status.success() {
            let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!is_ci, "no volume can be mounted, and nothing may be left out in CI: {reason}");
            eprintln!("left out: what needs a volume that can be full ({reason})");
            return None;
        }
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", CLEANER, "cleaner"]).arg(&path).stdin(Stdio::piped());
        let cleaner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(Self { path, cleaner })
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        let _ = self.cleaner.wait();
    }
}

/// A node alone on the volume, with this policy of syncing.
async fn on_volume(world: &World, volume: &Path, appendfsync: &str) -> (Agent, Client) {
    let agent = world.agent_in(1, &volume.join("node")).await;
    let mut client = world.control(&agent).await;
    let mut request = prepare_request(&agent);
    request.settings = [("appendfsync".to_owned(), appendfsync.to_owned())].into();
    client.0.prepare(at(1, request)).await.unwrap();
    client.add_slots(0, 16_383, 1).await.unwrap();
    client.complete().await;
    wait_for("the copy", || async { agent.has_copied().then_some(()) }).await;
    (agent, client)
}

/// Fills the volume and writes until a write is refused or cut off; how many were acknowledged.
async fn write_until_full(agent: &Agent, volume: &Volume) -> usize {
    wait_for("a write", || async { (agent.cli(&["set", "key-0", "v"]) == "OK").then_some(()) }).await;
    volume.fill();
    let value = "v".repeat(3000);
    (1..5000).find(|n| agent.cli(&["set", &format!("key-{n}"), &value]) != "OK").expect("a full disk")
}

async fn assert_keys(agent: &Agent, count: usize) {
    for n in 0..count {
        let key = format!("key-{n}");
        wait_for("a key", || async { agent.cli(&["get", &key]).starts_with('v').then_some(()) }).await;
    }
}

async fn assert_room_heals(agent: &Agent, client: &mut Client, id: &str, acknowledged: usize) {
    client.wait_state(v1::RedisState::Running).await;
    wait_for("a write", || async { (agent.cli(&["set", "after", "v"]) == "OK").then_some(()) }).await;
    assert_eq!(client.topology().await.node_id, id);
    assert_keys(agent, acknowledged).await;
    let close = v1::CloseToTenantsRequest { expected_node_id: id.to_owned() };
    client.0.close_to_tenants(at(3, close)).await.unwrap();
    wait_for("a status without complaint", || async {
        let status = client.0.clone().get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
        status.detail.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_every_write_synced_a_full_volume_ends_the_server_and_loses_nothing() {
    let world = World::new();
    let Some(volume) = Volume::mount(&world) else { return };
    let (agent, mut client) = on_volume(&world, &volume.path, "always").await;
    let id = client.topology().await.node_id;
    let acknowledged = write_until_full(&agent, &volume).await;
    assert!(client.status().await.detail.contains("no space is left"));
    let close = || v1::CloseToTenantsRequest { expected_node_id: id.clone() };
    let (code, message) = refused(client.0.close_to_tenants(at(2, close())).await);
    assert_eq!((code, message.contains("no space is left")), (Code::Unavailable, true), "{message}");
    volume.make_room();
    assert_room_heals(&agent, &mut client, &id, acknowledged).await;
}

#[tokio::test]
async fn with_a_sync_every_second_a_full_volume_refuses_writes_and_reads_go_on() {
    let world = World::new();
    let Some(volume) = Volume::mount(&world) else { return };
    let (mut agent, mut client) = on_volume(&world, &volume.path, "everysec").await;
    let id = client.topology().await.node_id;
    let acknowledged = write_until_full(&agent, &volume).await;
    wait_for("a refusal", || async { agent.cli(&["set", "k", "v"]).contains("MISCONF").then_some(()) }).await;
    let status = client.wait_state(v1::RedisState::Running).await;
    assert!(status.detail.contains("no space is left") && status.detail.contains("refuses writes"), "{status:?}");
    assert!(agent.cli(&["get", "key-0"]).starts_with('v'));

    // An agent starts without any space, also after one that left files of its own, and wrote no id down.
    agent.end(rustix::process::Signal::KILL);
    let conf = volume.path.join("node").join("redis.conf");
    let wanted = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, wanted.replacen('p', "P", 1)).unwrap();
    std::fs::remove_file(volume.path.join("node").join("node-id")).unwrap();
    volume.make_room();
    volume.fill();
    agent.start_again().await;
    let mut client = world.control(&agent).await;
    let status = client.wait_state(v1::RedisState::Running).await;
    assert_eq!(status.node_id, None, "one that is not on the disk is not told");
    assert_ne!(std::fs::read_to_string(&conf).unwrap(), wanted);
    volume.make_room();
    assert_room_heals(&agent, &mut client, &id, acknowledged).await;
    wait_for("the server's files", || async { (std::fs::read_to_string(&conf).unwrap() == wanted).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_file_that_was_cut_by_a_full_volume_is_mended_when_there_is_room() {
    let world = World::new();
    let Some(volume) = Volume::mount(&world) else { return };
    let (agent, mut client) = on_volume(&world, &volume.path, "always").await;
    let id = client.topology().await.node_id;
    wait_for("a write", || async { (agent.cli(&["set", "key-0", "v"]) == "OK").then_some(()) }).await;
    volume.fill();
    // A file of many ranges of slots is longer than the one page that the short one has.
    let odd: Vec<String> = (0..2000).map(|n| (2 * n + 1).to_string()).collect();
    let words: Vec<&str> = ["cluster", "delslots"].into_iter().chain(odd.iter().map(String::as_str)).collect();
    let answer = agent.own_cli(&words);
    assert_ne!(answer, "OK", "what it could not write down it did not say");
    let status = client.wait_state(v1::RedisState::Down).await;
    assert!(status.detail.contains("no space is left"), "{status:?}");
    volume.make_room();
    assert_room_heals(&agent, &mut client, &id, 1).await;
}
