//! How many slots clusters serve, by what their members say.

use std::collections::BTreeMap;

use redtrove_core::instance::{Instance, RedisState};
use redtrove_core::slots::SLOT_COUNT;
use redtrove_core::{ClusterId, SlotSet};

use super::{Failed, heard};
use crate::ports::{GuestError, GuestStatus};

const ALL: u32 = SLOT_COUNT as u32;

/// How many slots each cluster serves, where that is news beside what was known `before`.
///
/// A member that is cut off from the majority of masters, or knows of slots that nobody has, answers CLUSTERDOWN and says
/// so. One whose agent is silent may well serve, unless the others hold it for failed: what was known stays then, or is
/// less by what others refuse. A slot that moves is seen at both members or at none, as they are not asked at the
/// same moment: one is not served if nobody had it in two rounds in a row. `lacking` are the clusters that lacked slots in
/// the last round, with those that they served.
pub(super) fn news(
    instances: &[Instance],
    answers: &[Result<GuestStatus, GuestError>],
    failed: &Failed,
    before: &BTreeMap<ClusterId, Option<u32>>,
    lacking: &mut BTreeMap<ClusterId, SlotSet>,
) -> Vec<(ClusterId, u32)> {
    let mut seen: BTreeMap<ClusterId, Seen> = BTreeMap::new();
    for (instance, answer) in instances.iter().zip(answers) {
        let seen = seen.entry(instance.cluster).or_default();
        let is_failed = failed.holds(instance);
        match answer {
            Ok(status) if status.redis == RedisState::Running && !is_failed => {
                let slots = if status.state_ok { &mut seen.served } else { &mut seen.refused };
                *slots = std::mem::take(slots).union(&status.slots);
            }
            answer if is_failed || heard(answer) => {}
            _ => seen.is_unknown = true,
        }
    }
    let last = std::mem::take(lacking);
    let mut news = Vec::new();
    for (cluster, seen) in seen {
        let is_unknown = seen.is_unknown;
        let Some(slots) = seen.at_most() else { continue };
        let count = match last.get(&cluster) {
            _ if slots.count() == ALL => Some(ALL),
            Some(last) => Some(slots.clone().union(last).count()),
            None => None,
        };
        if slots.count() < ALL {
            lacking.insert(cluster, slots);
        }
        let (Some(count), Some(known)) = (count, before.get(&cluster)) else { continue };
        let is_news = match known {
            Some(known) if is_unknown => count < *known,
            known => *known != Some(count),
        };
        if is_news {
            news.push((cluster, count));
        }
    }
    news
}

/// What the members of a cluster say of their slots.
#[derive(Default)]
struct Seen {
    served: SlotSet,
    /// Of those who answer CLUSTERDOWN.
    refused: SlotSet,
    /// There is a member of which nothing is known.
    is_unknown: bool,
}

impl Seen {
    /// The slots that may be served, if anything is known of that.
    fn at_most(self) -> Option<SlotSet> {
        match self {
            Self { served, is_unknown: false, .. } => Some(served),
            Self { refused, .. } if !refused.is_empty() => Some(SlotSet::all().without(&refused)),
            _ => None,
        }
    }
}

/// How many clusters do not serve all slots, once the news is known.
pub(super) fn unserved(before: &BTreeMap<ClusterId, Option<u32>>, news: &[(ClusterId, u32)]) -> usize {
    let mut known: BTreeMap<ClusterId, u32> = before.iter().filter_map(|(id, count)| Some((*id, (*count)?))).collect();
    known.extend(news.iter().copied());
    known.values().filter(|count| **count < ALL).count()
}

#[cfg(test)]
mod tests {
    use redtrove_core::SlotRange;

    use super::super::failed_of;
    use super::super::tests::{instance, running, silent};
    use super::*;

    fn serving(first: u32, last: u32, failed: &[u8]) -> Result<GuestStatus, GuestError> {
        running(failed).map(|status| GuestStatus { slots: SlotRange::new(first, last).unwrap().into(), ..status })
    }

    /// What is news in these rounds of a cluster of three.
    fn rounds(rounds: &[[Result<GuestStatus, GuestError>; 3]]) -> Vec<Option<u32>> {
        let instances = [instance(1, 1), instance(2, 1), instance(3, 1)];
        let id = instances[0].cluster;
        let (mut before, mut lacking) = (BTreeMap::from([(id, None)]), BTreeMap::new());
        let round = |answers: &[Result<GuestStatus, GuestError>; 3]| {
            let news = news(&instances, answers, &failed_of(&instances, answers), &before, &mut lacking);
            before.extend(news.iter().map(|(id, count)| (*id, Some(*count))));
            news.first().map(|(_, count)| *count)
        };
        rounds.iter().map(round).collect()
    }

    fn whole() -> [Result<GuestStatus, GuestError>; 3] {
        [serving(0, 5460, &[]), serving(5461, 10922, &[]), serving(10923, 16383, &[])]
    }

    fn down() -> Result<GuestStatus, GuestError> {
        Err(GuestError::RedisDown("refused".to_owned()))
    }

    #[test]
    fn a_cluster_that_lacks_slots_says_so_in_the_second_round_and_is_whole_in_the_first() {
        let broken = || [serving(0, 5460, &[]), serving(5461, 10922, &[]), down()];
        let seen = rounds(&[whole(), whole(), broken(), broken(), broken(), whole()]);
        assert_eq!(seen, [Some(16_384), None, None, Some(10_923), None, Some(16_384)]);
    }

    #[test]
    fn a_slot_that_moves_between_two_answers_is_no_news() {
        let moving = [serving(0, 5460, &[]), serving(5462, 10922, &[]), serving(10923, 16383, &[])];
        assert_eq!(rounds(&[whole(), moving, whole()]), [Some(16_384), None, None]);
    }

    #[test]
    fn another_slot_that_moves_in_each_round_is_no_news() {
        let moving = |from, to| [serving(0, 5460, &[]), serving(from, to, &[]), serving(10923, 16383, &[])];
        assert_eq!(rounds(&[whole(), moving(5462, 10922), moving(5461, 10921)]), [Some(16_384), None, None]);
        let seen = rounds(&[whole(), moving(5462, 10922), moving(5462, 10921), moving(5462, 10921)]);
        assert_eq!(seen, [Some(16_384), None, Some(16_383), Some(16_382)], "those that stay away are counted");
    }

    #[test]
    fn members_that_answer_clusterdown_serve_nothing_whoever_else_is_silent() {
        let refusing = |first, last| serving(first, last, &[]).map(|status| GuestStatus { state_ok: false, ..status });
        let cut_off = || [refusing(0, 5460), refusing(5461, 10922), refusing(10923, 16383)];
        let seen = rounds(&[whole(), cut_off(), cut_off(), whole()]);
        assert_eq!(seen, [Some(16_384), None, Some(0), Some(16_384)]);
        // Two hosts of three are gone with their agents: nobody is left who could agree that they failed.
        let last_one = || [refusing(0, 5460), silent(), silent()];
        assert_eq!(rounds(&[whole(), last_one(), last_one()]), [Some(16_384), None, Some(10_923)]);
        let seen = rounds(&[whole(), cut_off(), cut_off(), last_one(), last_one()]);
        assert_eq!(seen, [Some(16_384), None, Some(0), None, None], "silence is no reason to hope");
        let joining = [serving(0, 5460, &[]), serving(5461, 16383, &[]), running(&[])];
        assert_eq!(rounds(&[joining]), [Some(16_384)], "who has no slots refuses none");
    }

    #[test]
    fn a_silent_agent_leaves_open_what_its_server_does_unless_the_others_know() {
        let silent_one = || [serving(0, 5460, &[]), serving(5461, 10922, &[]), silent()];
        assert_eq!(rounds(&[whole(), silent_one(), silent_one()]), [Some(16_384), None, None]);
        let failed = || [serving(0, 5460, &[3]), serving(5461, 10922, &[3]), silent()];
        assert_eq!(rounds(&[whole(), failed(), failed()]), [Some(16_384), None, Some(10_923)]);
    }
}
