//! MariaDB is killed, frozen or restarted: the API says 503 and when to come again, never anything that is not true, and
//! whatever was under way goes on when the database is back, without a restart of any daemon.

use std::time::{Duration, Instant};

use redtrove_testkit::Process;
use redtrove_testkit::stack::{Db, Description};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clusters::{Cluster, ask};
use crate::support::raw_http::{is_unavailable, send};
use crate::support::world::{Expected, World, impatient, kill_all};
use crate::support::{at, leftovers, until, within};

/// For the pool's wait for a connection or the wait for one answer, on a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
/// For the next look for work, whose pauses grow to 10 s.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// How long the database is frozen.
const FROZEN: Duration = Duration::from_secs(8);

const EXPECTED: Expected<'_> = &[
    ("a request is refused", "the story takes the database away"),
    ("does not answer", "so it does"),
    ("its lease ran out", "the database was away for longer"),
    ("error returned from after_connect", "a new connection was frozen"),
    ("testing the connection on-release", "a connection that was in use was lost"),
];

/// What happens to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    Kill,
    Freeze,
    Restart,
}

const ACCIDENTS: [Accident; 3] = [Accident::Kill, Accident::Freeze, Accident::Restart];

fn start() -> World {
    World::embedded(|options| {
        impatient(options);
        options.db = Db::MariaDb;
    })
}

fn daemons(world: &World) -> [Process; 2] {
    ["api", "taskmanager"].map(|name| world.daemon(name))
}

fn take_away(world: &World, accident: Accident) {
    let database = world.daemon("mariadb");
    match accident {
        Accident::Kill => kill_all(&[database]),
        Accident::Freeze => database.pause().unwrap(),
        Accident::Restart => database.terminate(Duration::from_secs(30)).unwrap(),
    }
}

fn bring_back(world: &mut World, accident: Accident) {
    match accident {
        Accident::Freeze => world.daemon("mariadb").signal(Signal::CONT).unwrap(),
        Accident::Kill | Accident::Restart => drop(world.stack().start_again("mariadb").unwrap()),
    }
}

#[test]
fn without_a_database_the_api_says_so_and_nothing_else() {
    let mut world = start();
    let cluster = world.create("there", 1);
    cluster.wait_active();
    let daemons = daemons(&world);
    let (path, member) = (cluster.path(), cluster.member_ids().remove(0));
    let grow = json!({"grow": [{"flavorRef": "1", "volume": {"size": 1}}]});
    let shrink = json!({"shrink": [{"id": member}]});
    let create = ask("never", 1);
    let requests: [(&str, String, Option<&Value>); 11] = [
        ("GET", "/clusters".to_owned(), None),
        ("GET", path.clone(), None),
        ("GET", "/instances?include_clustered=true".to_owned(), None),
        ("GET", format!("/instances/{member}"), None),
        ("GET", "/flavors".to_owned(), None),
        ("GET", "/datastores".to_owned(), None),
        ("GET", "/limits".to_owned(), None),
        ("POST", "/clusters".to_owned(), Some(&create)),
        ("POST", path.clone(), Some(&grow)),
        ("POST", path.clone(), Some(&shrink)),
        ("DELETE", path.clone(), None),
    ];
    let rows = world.database().row_counts();
    for accident in [Accident::Kill, Accident::Freeze] {
        take_away(&world, accident);
        let description = world.stack().description().clone();
        // All at the same time: they wait side by side.
        std::thread::scope(|scope| {
            for (method, path, body) in &requests {
                scope.spawn(|| assert_unavailable(&description, method, path, *body));
            }
        });
        bring_back(&mut world, accident);
        within("the API to answer again", BACK_WITHIN, || cluster.look().is_some());
        until("it to be ACTIVE, as nothing was done to it", || cluster.is_active());
    }
    // A frozen database may still get to what it was sent before, but no COMMIT was.
    assert_eq!(world.database().row_counts(), rows, "nothing was written");
    assert_eq!(self::daemons(&world), daemons, "no daemon was restarted");
    world.end(EXPECTED);
}

fn assert_unavailable(description: &Description, method: &str, path: &str, body: Option<&Value>) {
    let asked = Instant::now();
    let answer = send(description, method, path, body);
    assert!(is_unavailable(&answer), "{method} {path}: {answer}");
    assert!(asked.elapsed() < REFUSED_WITHIN, "{method} {path} took {:?}", asked.elapsed());
}

#[test]
fn what_is_under_way_goes_on_when_the_database_is_back() {
    let mut world = start();
    let daemons = daemons(&world);
    for accident in ACCIDENTS {
        let was_hit = (0..5).any(|_| build_and_shrink(&mut world, accident));
        assert!(was_hit, "no task was hit in the middle by {accident:?} in five attempts");
    }
    assert_eq!(self::daemons(&world), daemons, "no daemon was restarted");
    until("what was removed to be forgotten", || world.database().number("SELECT COUNT(*) FROM removed_nodes") == 0);
    leftovers::assert_none(&world);
    world.end(EXPECTED);
}

/// The database goes away during a create and during a shrink. Whether it did so in the middle of both: on a busy machine
/// a task may have ended before, and then all is done again with another cluster.
fn build_and_shrink(world: &mut World, accident: Accident) -> bool {
    let cluster = world.create("built", 3);
    let create_was_hit = strike(world, &cluster, accident, 1, 5);
    cluster.wait_active();
    cluster.assert_slots_even();

    cluster.drain_last();
    let leaver = cluster.member_ids().pop().unwrap();
    let asked = cluster.clone();
    let answer = std::thread::spawn(move || asked.shrink(&[leaver]).status);
    let shrink_was_hit = strike(world, &cluster, accident, 2, 1);
    // Whoever asked while the database went away may not have been told.
    let answer = answer.join().unwrap();
    assert!([202, 503].contains(&answer), "{answer}");
    if answer == 202 || cluster.wait_calm() == 2 {
        cluster.wait_members(2);
    }
    cluster.delete();
    cluster.wait_gone();
    create_was_hit && shrink_was_hit
}

/// Takes the database away when so many tasks of the cluster are there and the newest has begun so many steps, and brings
/// it back. Whether that task was still running when it went.
fn strike(world: &mut World, cluster: &Cluster, accident: Accident, tasks: usize, steps: usize) -> bool {
    let newest = "SELECT CAST(COUNT(s.seq) AS CHAR) FROM tasks t LEFT JOIN task_steps s ON s.task_id = t.id \
                  WHERE t.cluster_id = ? GROUP BY t.created, t.id ORDER BY t.created DESC, t.id DESC LIMIT 1";
    let database = world.database();
    let number = |question| database.text(question, &cluster.id).map_or(0, |number| number.parse::<usize>().unwrap());
    let there = "SELECT CAST(COUNT(*) AS CHAR) FROM tasks WHERE cluster_id = ?";
    until("the task to be in the middle", || number(there) == tasks && number(newest) >= steps);
    let now = database.number("SELECT FLOOR(UNIX_TIMESTAMP(NOW(3)) * 1000)");
    drop(database);
    take_away(world, accident);
    if accident == Accident::Freeze {
        at(Instant::now() + FROZEN);
    }
    bring_back(world, accident);
    within("the API to answer again", BACK_WITHIN, || cluster.look().is_some());
    // Ends are dated by the same clock, in milliseconds.
    let ended = "SELECT CAST(ended AS CHAR) FROM tasks WHERE cluster_id = ? ORDER BY created DESC, id DESC LIMIT 1";
    world.database().text(ended, &cluster.id).is_none_or(|ended| ended.parse::<i64>().unwrap() > now)
}
