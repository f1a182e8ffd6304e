//! redis-cli moves slots to and from a member all the time, while it is asked to leave: whatever step of the shrink it
//! meets, no slot and no key is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redtrove_testkit::redis;
use serde_json::Value;

use crate::support::world::World;
use crate::support::{PATIENCE, keys, until};

/// How often the member is asked to leave under the moving slots, at least.
const ASKED: usize = 12;

#[test]
fn a_shrink_under_a_running_reshard_loses_no_slot() {
    let world = World::embedded(|_| ());
    let cluster = world.create("moving", 4);
    cluster.wait_active();
    let members = cluster.addresses();
    let nodes = cluster.node_ids();
    keys::write_and_read(&members, "moved-", 400);
    cluster.drain_last();
    let leaver = cluster.member_ids().pop().unwrap();

    let (stop, moves) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    let mut refused = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Either way fails when the member is shut; a move that is cut short is the tenant's to finish, as ever. A slot
            // is not moved back before all agree on where it is: redis-cli itself loses slots by that.
            for [from, to] in [[0, 3], [3, 0]].into_iter().cycle() {
                let _ = cluster.reshard(&nodes[from], &nodes[to], 3);
                moves.fetch_add(1, Ordering::Relaxed);
                until("the members to agree", || stop.load(Ordering::Relaxed) || cluster.agrees());
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        until("slots to move", || moves.load(Ordering::Relaxed) > 0);
        let began = Instant::now();
        while refused < ASKED && began.elapsed() < PATIENCE {
            let answer = cluster.shrink(std::slice::from_ref(&leaver));
            match answer.status {
                202 => break,
                403 => refused += 1,
                status => assert_eq!(status, 422, "{answer:?}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    until("the shrink to end", || cluster.look().is_some_and(|shown| shown["task"]["id"] == 1));
    cluster.finish_moves();
    if cluster.member_ids().len() == 4 {
        until("the last slots to be moved away", || {
            cluster.finish_moves();
            cluster.drain_last();
            let answer = cluster.shrink(std::slice::from_ref(&leaver));
            assert!([202, 403].contains(&answer.status), "{answer:?}");
            answer.status == 202
        });
    }
    let shown = cluster.wait_members(3);
    assert!(shown.get("fault").is_none_or(Value::is_null), "{shown}");
    redis::cluster_tool(&["--cluster", "check", &members[0].to_string()]).unwrap();
    let owned: u32 = cluster.slot_map().iter().map(|(first, last, _)| last - first + 1).sum();
    assert_eq!(owned, 16_384);
    assert_eq!(keys::missing(&members[..3], "moved-", &(0..400).collect::<Vec<_>>()), Vec::<u64>::new());
    world.end(&[]);
}
