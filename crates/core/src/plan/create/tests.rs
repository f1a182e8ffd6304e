//! The create plan against views made by hand, and against a small model of nodes that obey every step.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::plan::bench::{LIMITS, fresh, instance, ip, line, node_id};
use crate::slots::divide;
use crate::topology::NodeLine;

/// Makes one thing wrong in a view.
type Spoil = fn(&mut NodeView);

/// Members whose nodes are up, recorded, have their slots, and know nobody.
fn with_slots(count: usize) -> Vec<Member> {
    let ranges = divide(count).unwrap();
    (0..count)
        .map(|n| {
            let mut view = fresh(n);
            view.nodes[0] = line(n, true, n as u64 + 1, SlotSet::from(ranges[n]));
            member(n, ranges[n], Some(node_id(n)), Sight::View(Box::new(view)))
        })
        .collect()
}

/// Members who agree on everything.
fn agreed(count: usize, complete: bool) -> Vec<Member> {
    let ranges = divide(count).unwrap();
    (0..count)
        .map(|n| {
            let nodes = (0..count).map(|m| line(m, m == n, m as u64 + 1, SlotSet::from(ranges[m]))).collect();
            let view = NodeView { nodes, state_ok: true, complete, ..fresh(n) };
            member(n, ranges[n], Some(node_id(n)), Sight::View(Box::new(view)))
        })
        .collect()
}

fn member(n: usize, slots: SlotRange, node: Option<NodeId>, sight: Sight) -> Member {
    let ip = (sight != Sight::NoMachine).then(|| ip(n));
    Member { id: instance(n), name: format!("c-member-{}", n + 1), ip, node, slots, sight }
}

fn view(member: &mut Member) -> &mut NodeView {
    match &mut member.sight {
        Sight::View(view) => view,
        other => panic!("no view: {other:?}"),
    }
}

fn fault_of(next: Next) -> Failure {
    match next {
        Next::Fail(failure) => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

fn look(members: &[Member]) -> Next {
    remaining(members, LIMITS, Duration::from_secs(1))
}

#[test]
fn each_member_is_built_for_itself() {
    let slots = divide(3).unwrap();
    let members = [
        member(0, slots[0], None, Sight::NoMachine),
        member(1, slots[1], None, Sight::Unprepared),
        member(2, slots[2], None, Sight::View(Box::new(fresh(2)))),
    ];
    let want = vec![Step::EnsureMachine { member: instance(0) }, Step::Prepare { member: instance(1) }];
    assert_eq!(look(&members), Next::Do(want));
}

#[test]
fn guests_are_waited_for_and_named_when_they_are_late() {
    let slots = divide(2).unwrap();
    let starting = Sight::Starting("redis-server is loading its data set".to_owned());
    let members = [member(0, slots[0], None, starting), member(1, slots[1], None, Sight::View(Box::new(fresh(1))))];
    let Next::Wait(wait) = look(&members) else { panic!("it waits") };
    assert_eq!((wait.name, wait.progress.as_str()), ("wait_guests", "1 of 2 guests are ready"));
    let failure = fault_of(remaining(&members, LIMITS, Duration::from_secs(61)));
    assert!(failure.fault.message.contains("c-member-1") && !failure.fault.message.contains("c-member-2"));
    assert_eq!(failure.members.len(), 1);
    assert_eq!(failure.members[0].1, "not ready within 60 s: redis-server is loading its data set");
}

#[test]
fn a_provider_that_builds_for_ever_is_as_late_as_a_silent_agent() {
    let slots = divide(3).unwrap();
    let members = [
        member(0, slots[0], None, Sight::NoMachine),
        member(1, slots[1], None, Sight::Unprepared),
        member(2, slots[2], None, Sight::View(Box::new(fresh(2)))),
    ];
    let failure = fault_of(remaining(&members, LIMITS, Duration::from_secs(61)));
    assert_eq!(failure.members.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [instance(0), instance(1)]);
    assert!(failure.members[0].1.contains("no machine"), "{failure:?}");
}

#[test]
fn nodes_are_recorded_before_anything_is_done_to_them() {
    let slots = divide(2).unwrap();
    let members: Vec<_> = (0..2).map(|n| member(n, slots[n], None, Sight::View(Box::new(fresh(n))))).collect();
    let fence = |n| Step::JoinFence { member: instance(n), node: node_id(n) };
    assert_eq!(look(&members), Next::Do(vec![fence(0), fence(1)]));
}

#[test]
fn slots_and_distinct_epochs_come_before_anybody_meets() {
    let slots = divide(3).unwrap();
    let members: Vec<_> =
        (0..3).map(|n| member(n, slots[n], Some(node_id(n)), Sight::View(Box::new(fresh(n))))).collect();
    let Next::Do(steps) = look(&members) else { panic!("there is something to do") };
    let want: Vec<_> = (0..3)
        .map(|n| Step::AddSlots {
            member: instance(n),
            node: node_id(n),
            slots: slots[n],
            epoch: n as u64 + 1,
            forming_node_timeout: Duration::from_millis(500),
        })
        .collect();
    assert_eq!(steps, want);
}

#[test]
fn the_uptime_that_was_asked_for_is_waited_for_before_the_first_command() {
    let limits = Limits { min_uptime: Duration::from_secs(3), ..LIMITS };
    let slots = divide(1).unwrap();
    let mut members = [member(0, slots[0], Some(node_id(0)), Sight::View(Box::new(fresh(0))))];
    assert!(matches!(remaining(&members, limits, Duration::ZERO), Next::Wait(wait) if wait.name == "wait_uptime"));
    view(&mut members[0]).uptime_seconds = 3;
    assert!(matches!(remaining(&members, limits, Duration::ZERO), Next::Do(_)));
}

#[test]
fn few_meet_each_other_unless_they_are_acquainted_or_at_it() {
    let mut members = with_slots(4);
    // The second and the first know each other; the third shakes hands with the first; the fourth is a stranger.
    view(&mut members[0]).nodes.push(line(1, false, 2, SlotSet::empty()));
    view(&mut members[1]).nodes.push(line(0, false, 1, SlotSet::empty()));
    let shaking = NodeLine { id: node_id(900), handshake: true, ..line(0, false, 0, SlotSet::empty()) };
    view(&mut members[2]).nodes.push(shaking);
    let meets = [(3, 0), (2, 1), (3, 1), (3, 2)];
    let want = meets.map(|(n, with)| Step::Meet { member: instance(n), with: instance(with), joining: None });
    assert_eq!(look(&members), Next::Do(want.to_vec()));
}

#[test]
fn many_meet_the_first_ones() {
    let Next::Do(steps) = look(&with_slots(100)) else { panic!("they are strangers") };
    assert_eq!(steps.len(), 99 + 98 + 97 + 96);
    for n in 1..100 {
        assert!(
            steps.contains(&Step::Meet { member: instance(n), with: instance(0), joining: None }),
            "{n} meets the first"
        );
    }
    assert_eq!([1, 2, 20, 60, 400, 1000].map(hubs), [1, 2, 20, 6, 1, 1]);
}

#[test]
fn one_sided_knowledge_is_met_again() {
    let mut members = with_slots(2);
    view(&mut members[1]).nodes.push(line(0, false, 1, SlotSet::empty()));
    assert_eq!(look(&members), Next::Do(vec![Step::Meet { member: instance(1), with: instance(0), joining: None }]));
}

#[test]
fn agreement_is_what_every_member_says_about_everything() {
    assert!(matches!(look(&agreed(3, false)), Next::Do(steps) if steps.len() == 3));
    let disagree: [fn(&mut NodeView); 3] = [
        |view| view.state_ok = false,
        |view| view.nodes.retain(|node| node.myself || node.id != node_id(29)),
        |view| view.nodes[0].slots = SlotSet::empty(),
    ];
    for spoil in disagree {
        let mut members = agreed(30, false);
        // Of one whose own slots and whose links with the first ones are as they should be.
        spoil(view(&mut members[28]));
        let Next::Wait(wait) = look(&members) else { panic!("they do not agree") };
        assert_eq!((wait.name, wait.progress.as_str()), ("verify", "29 of 30 members agree"));
    }
}

#[test]
fn only_closed_members_are_completed_and_then_it_is_done() {
    let mut members = agreed(3, true);
    assert_eq!(look(&members), Next::Done);
    view(&mut members[1]).complete = false;
    // Tenants of the others may have written meanwhile.
    view(&mut members[0]).keys = 12;
    assert_eq!(look(&members), Next::Do(vec![Step::Complete { member: instance(1) }]));
}

#[test]
fn a_new_node_that_is_not_fresh_ends_the_task() {
    let spoil: [(Spoil, &str); 5] = [
        (|view| view.nodes[0].slots = SlotRange::new(3, 4).unwrap().into(), "slots 3-4"),
        (|view| view.keys = 2, "2 keys"),
        (|view| view.nodes.push(line(7, false, 0, SlotSet::empty())), "knows 1 other"),
        (|view| view.nodes.push(NodeLine { handshake: true, ..line(7, false, 0, SlotSet::empty()) }), "knows 1 other"),
        (|view| view.nodes[0].config_epoch = 3, "config epoch 3"),
    ];
    for (spoil, found) in spoil {
        let slots = divide(2).unwrap();
        let mut members: Vec<_> = (0..2).map(|n| member(n, slots[n], None, Sight::View(Box::new(fresh(n))))).collect();
        spoil(view(&mut members[1]));
        let failure = fault_of(look(&members));
        assert!(failure.fault.message.contains("c-member-2") && failure.fault.message.contains(found), "{failure:?}");
        assert_eq!(failure.members.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [instance(1)]);
    }
}

#[test]
fn a_recorded_node_that_is_not_ours_ends_the_task() {
    let spoil: [(Spoil, &str); 4] = [
        (|view| view.myself = node_id(7), "recorded was"),
        (|view| view.nodes[1].slots = SlotRange::new(0, 16_383).unwrap().into(), "planned are"),
        (|view| view.nodes[1].config_epoch = 9, "config epoch is 9"),
        (|view| view.nodes.push(line(7, false, 0, SlotSet::empty())), "not of this cluster"),
    ];
    for (spoil, found) in spoil {
        let mut members = agreed(3, false);
        // Its own line is the second.
        spoil(view(&mut members[1]));
        let failure = fault_of(look(&members));
        assert!(failure.fault.message.contains("c-member-2") && failure.fault.message.contains(found), "{failure:?}");
    }
}

/// Nodes that do what they are told at once, and gossip between any two looks.
struct Model {
    members: Vec<Member>,
    met: BTreeSet<(usize, usize)>,
}

impl Model {
    fn new(count: usize) -> Self {
        let slots = divide(count).unwrap();
        Self {
            members: (0..count).map(|n| member(n, slots[n], None, Sight::NoMachine)).collect(),
            met: BTreeSet::new(),
        }
    }

    fn number(&self, id: InstanceId) -> usize {
        self.members.iter().position(|member| member.id == id).unwrap()
    }

    fn apply(&mut self, step: &Step) {
        let n = self.number(step.member().unwrap());
        match step {
            Step::EnsureMachine { .. } => {
                self.members[n].ip = Some(ip(n));
                self.members[n].sight = Sight::Unprepared;
            }
            Step::Prepare { .. } => self.members[n].sight = Sight::View(Box::new(fresh(n))),
            Step::JoinFence { node, .. } => self.members[n].node = Some(*node),
            Step::AddSlots { slots, epoch, .. } => {
                view(&mut self.members[n]).nodes[0] = line(n, true, *epoch, SlotSet::from(*slots));
            }
            Step::Meet { with, .. } => {
                self.met.insert((n, self.number(*with)));
            }
            Step::Complete { .. } => view(&mut self.members[n]).complete = true,
            _ => panic!("a create does no {step}"),
        }
    }

    fn gossip(&mut self) {
        let count = self.members.len();
        // Whoever met somebody that the first knows, directly or not, knows all of them.
        let mut known = vec![0];
        for at in 0.. {
            let Some(n) = known.get(at).copied() else { break };
            let met = |m: &usize| self.met.contains(&(n, *m)) || self.met.contains(&(*m, n));
            let new: Vec<usize> = (0..count).filter(|m| met(m) && !known.contains(m)).collect();
            known.extend(new);
        }
        let own: Vec<_> =
            self.members.iter().map(|m| if let Sight::View(v) = &m.sight { v.own().cloned() } else { None }).collect();
        for n in known.iter().copied().filter(|_| !self.met.is_empty()) {
            let view = view(&mut self.members[n]);
            view.nodes = known
                .iter()
                .filter_map(|m| own[*m].clone())
                .map(|node| NodeLine { myself: node.id == view.myself, ..node })
                .collect();
        }
        for member in &mut self.members {
            if let Sight::View(view) = &mut member.sight {
                view.state_ok = view.slot_map().values().map(SlotSet::count).sum::<u32>() == 16_384;
            }
        }
    }
}

proptest! {
    #[test]
    fn a_create_ends_however_few_of_its_steps_go_through(
        count in 1usize..12,
        luck in prop::collection::vec(any::<bool>(), 1..200),
        twice in any::<bool>(),
    ) {
        let mut model = Model::new(count);
        let mut luck = luck.into_iter().chain(std::iter::repeat(true));
        for _ in 0..500 {
            match look(&model.members) {
                Next::Done => break,
                Next::Do(steps) => {
                    prop_assert!(!steps.is_empty());
                    for step in steps.iter().filter(|_| luck.next() == Some(true)) {
                        model.apply(step);
                        if twice {
                            model.apply(step);
                        }
                    }
                    model.gossip();
                }
                Next::Wait(_) => model.gossip(),
                refused => prop_assert!(false, "{refused:?}"),
            }
        }
        prop_assert_eq!(look(&model.members), Next::Done);
        let slots: Vec<_> = model.members.iter_mut().map(|m| view(m).own_slots().count()).collect();
        prop_assert_eq!(slots.iter().sum::<u32>(), 16_384);
        prop_assert!(model.members.iter_mut().all(|m| view(m).complete));
    }

    #[test]
    fn the_forming_timeout_is_short_and_grows_with_the_cluster(members in 1usize..=1_000) {
        let timeout = forming_node_timeout(members);
        prop_assert!(timeout >= Duration::from_millis(500) && timeout <= Duration::from_secs(15));
        prop_assert!(timeout <= forming_node_timeout(members + 1));
    }
}
