use std::fs::OpenOptions;
use std::io::Write;

use tempfile::TempDir;

use super::*;

const ID: &str = "07c37dfeb235213a872192d90877d0cd55635b91";
const OTHER: &str = "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca";

fn file_of(id: &str, epoch: u64) -> String {
    format!(
        "{id} 127.0.0.2:6379@16379 myself,master - 0 0 {epoch} connected 0-9\nvars currentEpoch {epoch} lastVoteEpoch 0\n"
    )
}

struct World {
    home: Arc<Home>,
    _place: TempDir,
}

impl World {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        Self { home: Arc::new(Home::open(place.path()).unwrap()), _place: place }
    }

    fn open(&self) -> NodesFile {
        NodesFile::open(Arc::clone(&self.home)).unwrap()
    }

    fn put(&self, name: &str, text: &[u8]) {
        fs::write(self.home.path(name), text).unwrap();
    }

    fn file(&self) -> Option<String> {
        self.home.read(NODES_CONF).unwrap()
    }

    /// A node that was told and whose file is copied.
    fn known(&self) -> NodesFile {
        self.put(NODES_CONF, file_of(ID, 1).as_bytes());
        let file = self.open();
        file.record(ID.parse().unwrap()).unwrap();
        settle(&file);
        file
    }

    fn state(&self, complete: bool, shut: Option<Shut>) {
        let instance = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        let prepared = serde_json::json!({
            "engine": "redis", "cluster": instance, "instance": instance, "ram_mb": 64, "volume_gb": 1, "settings": {}
        });
        let state = serde_json::json!({ "prepared": prepared, "complete": complete, "shut": shut });
        self.put("state.json", state.to_string().as_bytes());
    }
}

fn settle(file: &NodesFile) {
    assert_eq!(file.look().unwrap(), Look::Changing);
    assert_eq!(file.look().unwrap(), Look::Kept);
}

#[test]
fn the_copy_follows_the_file_and_outlives_the_agent() {
    let world = World::new();
    let file = world.known();
    world.put(NODES_CONF, file_of(ID, 22).as_bytes());
    settle(&file);
    assert_eq!(file.look().unwrap(), Look::Kept);
    drop(file);
    fs::remove_file(world.home.path(NODES_CONF)).unwrap();
    let file = world.open();
    assert_eq!(file.told(), Some(ID.parse().unwrap()));
    assert_eq!(file.look().unwrap(), Look::Bad("it is gone".into()));
    assert!(file.mend().unwrap().unwrap().contains("it is gone"));
    assert_eq!(world.file(), Some(file_of(ID, 22)));
    assert_eq!(file.mend(), Ok(None));
}

#[test]
fn a_file_that_was_cut_anywhere_is_replaced_by_the_copy() {
    let world = World::new();
    let file = world.known();
    let whole = file_of(ID, 1);
    for length in 0..whole.len() {
        world.put(NODES_CONF, &whole.as_bytes()[..length]);
        assert!(file.mend().unwrap().is_some(), "cut at {length}");
        assert_eq!(world.file().as_ref(), Some(&whole), "cut at {length}");
    }
    world.put(NODES_CONF, &[0xff; 100]);
    assert!(file.mend().unwrap().unwrap().contains("not text"));
    assert_eq!(world.home.read_bytes(ASIDE).unwrap(), Some(vec![0xff; 100]), "people may want it");
}

#[test]
fn what_is_not_whole_or_another_nodes_is_never_copied() {
    let world = World::new();
    let file = world.known();
    world.put(NODES_CONF, b"half");
    assert_eq!(file.look().unwrap(), Look::Changing);
    assert!(matches!(file.look().unwrap(), Look::Bad(problem) if problem.contains("cut short")));
    world.put(NODES_CONF, file_of(OTHER, 5).as_bytes());
    settle(&file);
    assert!(file.mend().unwrap().unwrap().contains(OTHER));
    assert_eq!(world.file(), Some(file_of(ID, 1)));
}

#[test]
fn a_known_node_without_file_and_copy_is_not_started() {
    let world = World::new();
    let file = world.known();
    let path = world.home.path(COPY);
    drop(file);
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"\n").unwrap();
    let file = world.open();
    world.put(NODES_CONF, b"");
    let reason = file.mend().unwrap_err();
    assert!(reason.contains(ID) && reason.contains("it is empty") && reason.contains("no good copy"), "{reason}");
    assert_eq!(world.file(), Some(String::new()), "and nothing is touched");
    // Put back by hand, it starts.
    world.put(NODES_CONF, file_of(ID, 9).as_bytes());
    assert_eq!(file.mend(), Ok(None));
    settle(&file);
    world.put(NODES_CONF, b"");
    assert!(file.mend().unwrap().is_some(), "the copy was made again");
}

#[test]
fn one_that_nobody_knows_starts_anew() {
    let world = World::new();
    let file = world.open();
    assert_eq!(file.mend(), Ok(None), "the first start");
    world.put(NODES_CONF, b"half");
    assert!(file.mend().unwrap().unwrap().contains("starts anew"));
    assert_eq!(world.file(), None);
    // Agents that kept no record completed it: it was told.
    world.state(true, None);
    assert!(file.mend().unwrap_err().contains("the node that it was"));
}

#[test]
fn a_node_that_leaves_may_have_another_id() {
    let old = ID.parse().unwrap();
    let world = World::new();
    let file = world.known();
    world.state(true, Some(Shut::Leaving(old)));
    world.put(NODES_CONF, file_of(OTHER, 0).as_bytes());
    assert_eq!(file.mend(), Ok(None), "killed between the reset and the note of it");
    world.put(NODES_CONF, b"");
    assert!(file.mend().unwrap().is_some());
    assert_eq!(world.file(), Some(file_of(ID, 1)), "killed before the reset");

    world.state(true, Some(Shut::Left(old)));
    assert!(file.mend().unwrap().unwrap().contains("starts anew"), "it must not come back as who has left");
    assert_eq!(world.file(), None);
    world.put(NODES_CONF, file_of(OTHER, 0).as_bytes());
    assert_eq!(file.mend(), Ok(None));
}

#[test]
fn a_record_that_is_no_id_stops_the_agent() {
    let world = World::new();
    world.put(NODE_ID, b"x");
    assert!(NodesFile::open(Arc::clone(&world.home)).unwrap_err().to_string().contains(NODE_ID));
}
