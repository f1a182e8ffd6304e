//! The shrink plan against views made by hand.

use proptest::prelude::{prop, prop_assert, proptest};

use super::*;
use crate::plan::Sight;
use crate::plan::bench::{LIMITS, about, ids, instance, line, member, node_id, serving, silent, view};
use crate::slots::{SlotRange, SlotSet};
use crate::topology::Reach;

/// Three members stay and the last one, which is empty, is to leave.
struct Case {
    staying: Vec<Member>,
    leavers: Vec<Leaver>,
    accepted: bool,
    removed: BTreeMap<NodeId, BTreeSet<InstanceId>>,
}

const LEAVER: usize = 3;

fn case() -> Case {
    let mut staying = serving(3, 1);
    let leaver = Leaver { member: staying.pop().unwrap(), out: false };
    Case { staying, leavers: vec![leaver], accepted: false, removed: BTreeMap::new() }
}

impl Case {
    fn look(&self) -> Next {
        self.look_after(Duration::ZERO)
    }

    fn look_after(&self, elapsed: Duration) -> Next {
        let Self { staying, leavers, accepted, removed } = self;
        let ours = ids(0..=LEAVER);
        remaining(&Shrinking { staying, leavers, accepted: *accepted, ours: &ours, removed }, LIMITS, elapsed)
    }

    fn leaver(&mut self) -> &mut NodeView {
        view(&mut self.leavers[0].member)
    }

    fn closed(mut self) -> Self {
        self.leaver().closed_for = Some(Duration::from_secs(119));
        self
    }

    fn accepted(mut self) -> Self {
        self.accepted = true;
        self
    }

    /// The leaver's agent does not answer, and its node is failed for the others.
    fn dead(mut self, sight: Sight) -> Self {
        self.leavers[0].member.sight = sight;
        for member in &mut self.staying {
            about(view(member), LEAVER).reach = Reach::Failed;
        }
        self
    }

    /// The leaver has left, and these owe a FORGET.
    fn out(mut self, debtors: &[usize]) -> Self {
        self.leavers[0].out = true;
        self.removed.insert(node_id(LEAVER), debtors.iter().map(|n| instance(*n)).collect());
        self
    }
}

fn leave() -> Next {
    Next::Do(vec![Step::Leave { member: instance(LEAVER), node: node_id(LEAVER) }])
}

fn remove() -> Next {
    Next::Do(vec![Step::Remove { member: instance(LEAVER), hold_address: true }])
}

fn forget(members: impl IntoIterator<Item = usize>, node: usize) -> Next {
    let step = |n| Step::Forget { member: instance(n), nodes: vec![node_id(node)] };
    Next::Do(members.into_iter().map(step).collect())
}

#[test]
fn a_live_leaver_is_closed_asked_about_again_accepted_emptied_forgotten_and_removed() {
    let close = Next::Do(vec![Step::Close { member: instance(LEAVER), node: node_id(LEAVER) }]);
    assert_eq!(case().look(), close);
    assert_eq!(case().closed().look(), Next::Do(vec![Step::Accept]));
    assert_eq!(case().closed().accepted().look(), leave());
    assert_eq!(case().accepted().out(&[0, 1, 2]).look(), forget(0..3, LEAVER));
    // Paid for, but a gossip brought it back: once more, by everybody.
    assert_eq!(case().accepted().out(&[]).look(), forget(0..3, LEAVER));
    let mut forgotten = case().accepted().out(&[]);
    for member in &mut forgotten.staying {
        view(member).nodes.retain(|line| line.id != node_id(LEAVER));
    }
    assert_eq!(forgotten.look(), remove());
    forgotten.leavers.clear();
    assert_eq!(forgotten.look(), Next::Done);
}

#[test]
fn a_leaver_that_soon_opens_is_closed_again_first() {
    let mut case = case();
    case.leaver().closed_for = Some(Duration::from_secs(10));
    assert!(matches!(case.look(), Next::Do(steps) if matches!(steps[..], [Step::Close { .. }])));
}

#[test]
fn a_leaver_that_is_open_again_is_closed_before_it_is_emptied() {
    let close = Next::Do(vec![Step::Close { member: instance(LEAVER), node: node_id(LEAVER) }]);
    assert_eq!(case().accepted().look(), close, "nobody worked for longer than it stays closed");
    let mut soon = case().accepted();
    soon.leaver().closed_for = Some(Duration::from_secs(10));
    assert_eq!(soon.look(), close);
}

#[test]
fn who_serves_does_not_go_with_its_machine_on_the_word_of_those_who_never_did() {
    let mut alone = case().dead(silent()).accepted();
    for member in &mut alone.staying {
        member.serves = false;
        member.node = None;
    }
    assert!(matches!(alone.look(), Next::Wait(wait) if wait.name == "wait_leavers"), "{:?}", alone.look());
    alone.leavers[0].member.serves = false;
    assert_eq!(alone.look(), remove());
    let mut nobody = case().dead(silent());
    nobody.staying.clear();
    assert!(matches!(nobody.look(), Next::Wait(wait) if wait.name == "wait_leavers"), "{:?}", nobody.look());
}

/// Something that keeps a leaver from leaving.
type Hold = fn(&mut Case);

const HOLDS: [(&str, Hold); 5] = [
    ("it says it owns a slot", |case| {
        about(case.leaver(), LEAVER).slots = SlotSet::from(SlotRange::new(5, 5).unwrap());
    }),
    ("another one says it owns a slot", |case| {
        about(view(&mut case.staying[2]), LEAVER).slots = SlotSet::from(SlotRange::new(5, 5).unwrap());
    }),
    ("it imports a slot", |case| about(case.leaver(), LEAVER).importing.push((5, node_id(0)))),
    ("it migrates a slot", |case| about(case.leaver(), LEAVER).migrating.push((5, node_id(0)))),
    ("another one migrates a slot to it", |case| {
        about(view(&mut case.staying[1]), 1).migrating.push((5, node_id(LEAVER)));
    }),
];

#[test]
fn whoever_holds_slots_is_opened_again_and_refused() {
    let reopen = Next::Do(vec![Step::Reopen { member: instance(LEAVER), node: node_id(LEAVER) }]);
    for (name, hold) in HOLDS {
        let mut open = case();
        hold(&mut open);
        let Next::Refuse(fault) = open.look() else { panic!("{name}: {:?}", open.look()) };
        assert_eq!(fault.kind, FaultKind::Forbidden);
        assert!(fault.message.ends_with(": m4."), "{name}: {fault}");
        let mut closed = case().closed();
        hold(&mut closed);
        assert_eq!(closed.look(), reopen, "{name}");
        // Accepted before, so nobody can be refused any more.
        let mut late = case().accepted();
        hold(&mut late);
        assert!(matches!(late.look(), Next::Fail(failure) if failure.fault.kind == FaultKind::Conflict), "{name}");
    }
}

#[test]
fn a_slot_that_moves_between_others_holds_nobody() {
    let mut case = case();
    about(view(&mut case.staying[0]), 0).migrating.push((5, node_id(1)));
    about(view(&mut case.staying[1]), 1).importing.push((5, node_id(0)));
    assert!(matches!(case.look(), Next::Do(_)));
}

#[test]
fn a_dead_leaver_goes_with_its_machine_before_it_is_forgotten() {
    for dead in [silent(), Sight::Starting("down".to_owned()), Sight::NoMachine, Sight::Unprepared] {
        let case = case().dead(dead);
        assert_eq!(case.look(), Next::Do(vec![Step::Accept]));
        assert_eq!(case.accepted().look(), remove());
    }
    // One with another id than was recorded is dead, too, whatever it says of slots.
    let mut case = case();
    case.leavers[0].member.node = Some(node_id(9));
    assert_eq!(case.look(), Next::Do(vec![Step::Accept]));
}

#[test]
fn one_whose_agent_is_silent_serves_as_long_as_anybody_hears_its_node() {
    let is_waited_for = |next: Next| matches!(next, Next::Wait(wait) if wait.name == "wait_leavers");
    for reach in [Reach::Fine, Reach::Suspected] {
        let mut case = case().dead(silent());
        about(view(&mut case.staying[1]), LEAVER).reach = reach;
        assert!(is_waited_for(case.look()), "{reach:?}");
        assert!(matches!(case.look_after(Duration::from_secs(61)), Next::Fail(_)), "not for ever");
        let case = case.accepted();
        assert!(is_waited_for(case.look()), "{reach:?}: its machine stays");
        assert!(matches!(case.look_after(Duration::from_secs(121)), Next::Fail(_)), "not for ever");
    }
}

#[test]
fn nobody_goes_with_its_machine_while_most_of_those_who_stay_are_silent() {
    let mut case = case().dead(silent()).accepted();
    assert_eq!(case.look(), remove());
    for member in &mut case.staying[1..] {
        member.sight = silent();
    }
    assert!(matches!(case.look(), Next::Wait(_)), "{:?}", case.look());
}

#[test]
fn one_that_never_met_anyone_leaves_no_address_behind() {
    let mut case = case().accepted();
    case.leavers[0].member = member(LEAVER, None, false, Sight::NoMachine);
    assert_eq!(case.look(), Next::Do(vec![Step::Remove { member: instance(LEAVER), hold_address: false }]));
}

#[test]
fn one_that_was_never_complete_is_shut_as_it_is() {
    let mut case = case();
    case.leavers[0].member.serves = false;
    case.leaver().complete = false;
    assert_eq!(case.look(), Next::Do(vec![Step::Accept]));
    assert_eq!(case.accepted().look(), leave());
}

#[test]
fn a_leave_whose_end_was_not_recorded_is_done_again() {
    let mut case = case().accepted();
    let view = case.leaver();
    (view.left, view.myself) = (Some(view.myself), node_id(20));
    assert_eq!(case.look(), leave());
}

#[test]
fn most_of_those_who_stay_have_to_answer() {
    let mut case = case();
    case.staying[0].sight = silent();
    assert!(matches!(case.look(), Next::Do(_)), "two of three");
    case.staying[1].sight = silent();
    assert!(matches!(case.look(), Next::Wait(_)), "one of three");
    assert!(matches!(case.look_after(Duration::from_secs(61)), Next::Fail(_)), "not for ever");
    for member in &mut case.staying {
        member.serves = false;
    }
    assert!(matches!(case.look(), Next::Do(_)), "of those who serve");
}

#[test]
fn whoever_does_not_answer_goes_on_owing_and_keeps_nobody() {
    let mut case = case().accepted().out(&[0]);
    case.staying[0].sight = silent();
    for member in &mut case.staying[1..] {
        view(member).nodes.retain(|line| line.id != node_id(LEAVER));
    }
    assert_eq!(case.look(), remove());
}

#[test]
fn what_cannot_be_forgotten_or_left_in_time_holds_nothing_up() {
    let late = Duration::from_secs(121);
    assert_eq!(case().accepted().out(&[0, 1, 2]).look_after(late), remove());
    assert!(matches!(case().accepted().look_after(late), Next::Fail(_)));
}

#[test]
fn what_an_earlier_shrink_left_standing_needs_only_to_be_removed() {
    let mut case = case().out(&[]);
    for member in &mut case.staying {
        view(member).nodes.retain(|line| line.id != node_id(LEAVER));
    }
    assert_eq!(case.look(), Next::Do(vec![Step::Accept]));
    assert_eq!(case.accepted().look(), remove());
}

#[test]
fn a_dead_stranger_is_forgotten_before_anything_is_judged() {
    let mut case = case();
    let mut stranger = line(8, false, 0, SlotSet::empty());
    stranger.reach = Reach::Failed;
    view(&mut case.staying[1]).nodes.push(stranger);
    assert_eq!(case.look(), forget([0, 1, 2, LEAVER], 8));
}

proptest! {
    #[test]
    fn nobody_is_accepted_who_owns_a_slot_in_any_view(
        slots in prop::collection::vec((0usize..4, 0u32..16_384), 1..4),
        closed in prop::bool::ANY,
        dead in prop::bool::ANY,
    ) {
        let mut case = case();
        for (who, slot) in &slots {
            let seen_by = if *who == LEAVER { &mut case.leavers[0].member } else { &mut case.staying[*who] };
            about(view(seen_by), LEAVER).slots = SlotSet::from(SlotRange::new(*slot, *slot).unwrap());
        }
        case.leaver().closed_for = closed.then_some(Duration::from_secs(100));
        // What a dead one would have said is not heard.
        if dead && slots.iter().any(|(who, _)| *who != LEAVER) {
            case = case.dead(silent());
        }
        for accepted in [false, true] {
            case.accepted = accepted;
            let next = case.look();
            let harmless = match &next {
                Next::Do(steps) => steps.iter().all(|step| matches!(step, Step::Reopen { .. })),
                other => matches!(other, Next::Refuse(_) | Next::Fail(_)),
            };
            prop_assert!(harmless, "{next:?}");
        }
    }
}
