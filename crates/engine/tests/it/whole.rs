//! The whole installation in a storm: whatever a seed draws, it ends well; and what would not be well would be noticed.

use std::hash::{BuildHasher, RandomState};

use redtrove_engine::sim::Mutation;
use redtrove_engine::sim::whole::{Report, Tally, Telling, run};

fn tell(seed: u64) -> Report {
    run(seed, Telling::default()).unwrap()
}

fn assert_ends_well(report: &Report) {
    let (seed, violation) = (report.seed, &report.violation);
    assert!(violation.is_none(), "seed {seed}: {violation:?}\nThe story: cargo xtask sim --seed {seed}");
}

/// Tells the stories of these seeds, all of which have to end well.
fn all_end_well(seeds: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let report = tell(seed);
        assert_ends_well(&report);
        tally += report.tally;
    }
    tally
}

#[test]
fn known_storms_end_well_and_leave_nothing_untried() {
    let tally = all_end_well(0..25);
    let Tally { succeeded, failed, refused, taken_over, fenced_by_database, .. } = tally;
    let tried = succeeded.iter().chain(&failed).chain([&refused, &taken_over, &fenced_by_database]);
    assert!(tried.clone().all(|count| *count > 0), "these storms miss something: {tally:?}");
}

#[test]
fn other_storms_end_well() {
    // In CI every run looks at other seeds.
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let first = if ci { RandomState::new().hash_one(0) >> 16 } else { 1_000 };
    println!("seeds {first} to {}", first + 24);
    all_end_well(first..first + 25);
}

#[test]
fn a_seed_is_one_story() {
    for seed in [3, 4, 5] {
        let telling = Telling { line_by_line: true, ..Telling::default() };
        let (once, again) = (run(seed, telling).unwrap(), run(seed, telling).unwrap());
        assert!(once.story.len() > 100, "{} lines are few", once.story.len());
        for (one, other) in once.story.iter().zip(&again.story) {
            assert_eq!(one, other, "seed {seed}");
        }
        assert_eq!((once.story.len(), once.print, once.length), (again.story.len(), again.print, again.length));
        assert_eq!(tell(seed).print, once.print, "whether or not anybody reads it");
    }
}

/// How many seeds a mistake may need until it is noticed.
const NOTICED_WITHIN: u64 = 60;

/// Makes a mistake in one seed after the other until it is noticed, as one of these.
fn assert_noticed(mutation: Mutation, as_one_of: &[&str]) {
    for seed in 0..NOTICED_WITHIN {
        let report = run(seed, Telling { mutation: Some(mutation), ..Telling::default() }).unwrap();
        if let Some(violation) = report.violation {
            let must_be = violation.must_be;
            assert!(as_one_of.contains(&must_be), "{mutation:?} was noticed as something else: {violation}");
            return;
        }
        assert!(seed + 1 < NOTICED_WITHIN, "{mutation:?} was not noticed in {NOTICED_WITHIN} seeds");
    }
}

macro_rules! noticed {
    ($($name:ident: $mutation:ident as $($must_be:literal),+;)+) => {$(
        #[test]
        fn $name() {
            assert_noticed(Mutation::$mutation, &[$($must_be),+]);
        }
    )+};
}

noticed! {
    a_database_that_checks_no_token: TheDatabaseChecksNoToken as "only the holder of the newest token writes";
    claims_that_ignore_leases: ClaimsIgnoreLeases as "a task is not taken over before its lease has run out";
    claims_that_keep_the_token: ClaimsKeepTheToken as "no two runners hold the same token of a cluster";
    clusters_that_stay_busy: EndedTasksKeepTheirClusterBusy
        as "a cluster is busy with the one task that has not ended, or with none";
    quota_that_is_not_given_back: QuotaIsNotGivenBack as "what a project uses is the sum of its rows";
    verdicts_that_change: VerdictsChange as "a verdict never changes";
    step_logs_that_are_cut_short: StepLogsAreCutShort as "the step log only grows";
    ended_tasks_that_are_opened_again: EndedTasksAreOpenedAgain as "a task that has ended never changes";
    deleted_instances_that_come_back: DeletedInstancesComeBack as "the life of an instance only goes forward";
    sweepers_that_find_nothing: SweepersFindNothing as "every task ends by its deadline";
    guests_that_obey_any_generation: GuestsObeyAnyGeneration
        as "a guest obeys no older generation than it obeyed before";
    away_nodes_that_seem_failed_and_empty: AwayNodesSeemFailedAndEmpty
        as "every slot of a cluster that was made has an owner", "keys that tenants were told of are where they were";
    complete_nodes_that_take_every_slot: CompleteNodesTakeEverySlot as "no slot has two owners";
    nodes_that_forget_nobody: NodesForgetNobody
        as "all debts are paid, and nothing stands that no row wants",
           "what an operation left can be removed, and the cluster grows",
           "nothing is left once every cluster is deleted";
    addresses_that_are_free_at_once: AddressesAreFreeAtOnce
        as "the address of a removed node is nobody's until all have forgotten it";
    machines_that_are_not_listed: TheProviderListsNothing as "nothing is left once every cluster is deleted";
}
