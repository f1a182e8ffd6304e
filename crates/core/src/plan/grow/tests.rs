//! The grow plan against views made by hand.

use super::*;
use crate::ids::InstanceId;
use crate::plan::Sight;
use crate::plan::bench::{LIMITS, about, fresh, ids, instance, line, member, node_id, serving, silent, view};
use crate::slots::SlotRange;
use crate::topology::Reach;

/// Makes one thing wrong.
type Spoil = fn(&mut Case);

/// Three members that serve, and two that join.
struct Case {
    serving: Vec<Member>,
    joiners: Vec<Member>,
    removed: BTreeSet<NodeId>,
}

const OLD: usize = 3;

/// Joiners whose nodes are up and know nobody.
fn case() -> Case {
    let joiner = |n| member(n, None, false, Sight::View(Box::new(fresh(n))));
    Case { serving: serving(OLD, 0), joiners: vec![joiner(OLD), joiner(OLD + 1)], removed: BTreeSet::new() }
}

impl Case {
    fn look(&self) -> Next {
        self.look_after(Duration::ZERO)
    }

    fn look_after(&self, elapsed: Duration) -> Next {
        let Self { serving, joiners, removed } = self;
        let recorded = serving.iter().chain(joiners).filter_map(|member| member.node).collect();
        remaining(&Growing { serving, joiners, ours: &recorded, removed }, LIMITS, elapsed)
    }

    fn recorded(mut self) -> Self {
        for (n, joiner) in self.joiners.iter_mut().enumerate() {
            joiner.node = Some(node_id(OLD + n));
        }
        self
    }

    /// Everybody knows everybody.
    fn met(self) -> Self {
        let mut case = self.recorded();
        let all: Vec<_> = case.serving.iter_mut().map(|m| view(m).own().unwrap().clone()).collect();
        let new = [line(OLD, false, 0, SlotSet::empty()), line(OLD + 1, false, 0, SlotSet::empty())];
        for member in case.serving.iter_mut().chain(&mut case.joiners) {
            let view = view(member);
            let mine = view.myself;
            view.nodes = all.iter().chain(&new).cloned().collect();
            for line in &mut view.nodes {
                line.myself = line.id == mine;
            }
            view.state_ok = true;
        }
        case
    }
}

fn meets(next: Next) -> Vec<(InstanceId, InstanceId)> {
    let Next::Do(steps) = next else { panic!("{next:?}") };
    let pair = |step: Step| match step {
        Step::Meet { member, with, joining: Some(joining) } => {
            assert_eq!(joining.forming_node_timeout, Duration::from_millis(500));
            (member, with)
        }
        other => panic!("{other}"),
    };
    steps.into_iter().map(pair).collect()
}

#[test]
fn joiners_come_up_are_recorded_meet_everyone_and_are_completed() {
    let mut case = case();
    case.joiners[0].sight = Sight::NoMachine;
    case.joiners[1].sight = Sight::Unprepared;
    let up = [Step::EnsureMachine { member: instance(3) }, Step::Prepare { member: instance(4) }];
    assert_eq!(case.look(), Next::Do(up.to_vec()));

    let case = self::case();
    let fence = |n| Step::JoinFence { member: instance(n), node: node_id(n) };
    assert_eq!(case.look(), Next::Do(vec![fence(3), fence(4)]));

    let case = case.recorded();
    let pairs = meets(case.look());
    let want: Vec<_> =
        [(3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 2), (4, 3)].map(|(a, b)| (instance(a), instance(b))).into();
    assert_eq!(pairs, want, "only joiners ask, and each pair is asked for once");

    let mut case = case.met();
    let complete = |n| Step::Complete { member: instance(n) };
    assert_eq!(case.look(), Next::Do(vec![complete(3), complete(4)]));
    for joiner in &mut case.joiners {
        view(joiner).complete = true;
    }
    assert_eq!(case.look(), Next::Done);
}

#[test]
fn a_member_that_does_not_answer_is_not_met_and_not_waited_for() {
    let mut case = case().recorded();
    case.serving[1].sight = silent();
    assert!(meets(case.look()).iter().all(|(_, with)| *with != instance(1)));
    // Nor is one that lost its identity: it is not of this cluster any more.
    case.serving[1] = member(1, Some(node_id(1)), true, Sight::View(Box::new(fresh(17))));
    assert!(meets(case.look()).iter().all(|(_, with)| *with != instance(1)));
    for member in &mut case.serving {
        member.sight = silent();
    }
    assert!(matches!(case.look(), Next::Wait(_)));
    assert!(matches!(case.look_after(Duration::from_secs(121)), Next::Fail(_)));
}

#[test]
fn agreement_is_that_all_know_all_and_joiners_know_an_owner_of_each_slot() {
    let spoil: [Spoil; 4] = [
        |case| view(&mut case.serving[1]).nodes.retain(|line| line.id != node_id(4)),
        |case| view(&mut case.joiners[0]).nodes.retain(|line| line.id != node_id(4)),
        |case| about(view(&mut case.joiners[1]), 2).slots = SlotSet::empty(),
        |case| view(&mut case.joiners[1]).state_ok = false,
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut case = case().met();
        spoil(&mut case);
        let next = case.look();
        assert!(
            !matches!(next, Next::Done) && !matches!(&next, Next::Do(s) if matches!(s[0], Step::Complete { .. })),
            "{n}: {next:?}"
        );
    }
    // A slot that a tenant is moving has another owner in each view.
    let mut case = case().met();
    about(view(&mut case.joiners[0]), 0).slots = SlotSet::from(SlotRange::new(0, 5400).unwrap());
    about(view(&mut case.joiners[0]), 1).slots = SlotSet::from(SlotRange::new(5401, 10_922).unwrap());
    assert!(matches!(case.look(), Next::Do(_)));
}

#[test]
fn a_cluster_that_lost_slots_grows_all_the_same() {
    let mut case = case().met();
    for member in case.serving.iter_mut().chain(&mut case.joiners) {
        let view = view(member);
        view.state_ok = false;
        about(view, 2).slots = SlotSet::empty();
    }
    case.serving[2].sight = silent();
    assert!(matches!(case.look(), Next::Do(steps) if matches!(steps[0], Step::Complete { .. })));
}

#[test]
fn what_a_silent_member_owns_nobody_can_tell_a_joiner() {
    let mut case = case().met();
    for joiner in &mut case.joiners {
        about(view(joiner), 2).slots = SlotSet::empty();
        view(joiner).state_ok = false;
    }
    assert!(matches!(case.look(), Next::Wait(_)), "its owner answers, and will");
    for member in &mut case.serving {
        view(member).state_ok = false;
    }
    case.serving[2].sight = silent();
    assert!(matches!(case.look(), Next::Do(steps) if matches!(steps[0], Step::Complete { .. })));
}

#[test]
fn a_joiner_that_is_not_fresh_or_not_ours_is_not_let_in() {
    let spoil: [(&str, Spoil); 5] = [
        ("keys", |case| view(&mut case.joiners[1]).keys = 1),
        ("slots", |case| about(view(&mut case.joiners[1]), 4).slots = SlotSet::from(SlotRange::new(1, 1).unwrap())),
        ("knows", |case| view(&mut case.joiners[1]).nodes.push(line(30, false, 0, SlotSet::empty()))),
        ("node id", |case| case.joiners[1].node = Some(node_id(31))),
        ("node", |case| {
            case.joiners[1].node = Some(node_id(4));
            view(&mut case.joiners[1]).nodes.push(line(30, false, 0, SlotSet::empty()));
        }),
    ];
    for (found, spoil) in spoil {
        let mut case = case();
        spoil(&mut case);
        let Next::Fail(failure) = case.look() else { panic!("{found}: {:?}", case.look()) };
        assert!(failure.fault.message.starts_with("m5 was not let in"), "{}", failure.fault);
        assert!(failure.members[0].1.contains(found), "{failure:?}");
    }
}

#[test]
fn a_living_stranger_in_the_cluster_stops_the_grow_and_blames_no_member() {
    let mut case = case().recorded();
    view(&mut case.serving[2]).nodes.push(line(40, false, 9, SlotSet::empty()));
    let Next::Fail(failure) = case.look() else { panic!("{:?}", case.look()) };
    assert!(failure.members.is_empty() && failure.fault.message.starts_with("m3:"), "{failure:?}");
}

#[test]
fn what_was_removed_or_is_lost_is_forgotten_by_all_before_anyone_is_met() {
    let mut case = case().recorded();
    case.removed = ids([40]);
    view(&mut case.serving[2]).nodes.push(line(40, false, 9, SlotSet::empty()));
    let mut lost = line(41, false, 0, SlotSet::empty());
    lost.reach = Reach::Failed;
    view(&mut case.serving[0]).nodes.push(lost);
    let forget = |n| Step::Forget { member: instance(n), nodes: vec![node_id(40), node_id(41)] };
    assert_eq!(case.look(), Next::Do((0..5).map(forget).collect()));
}

#[test]
fn a_cluster_that_was_never_formed_cannot_be_joined() {
    let mut case = case();
    case.serving.clear();
    assert!(matches!(case.look(), Next::Fail(failure) if failure.fault.message.contains("never formed")));
}

#[test]
fn very_many_handshakes_are_left_to_gossip() {
    let mut case = case();
    case.serving = serving(100, 0);
    case.joiners = (100..150).map(|n| member(n, Some(node_id(n)), false, Sight::View(Box::new(fresh(n))))).collect();
    let Next::Do(steps) = case.look() else { panic!() };
    assert_eq!(steps.len(), 50 * 8);
}
