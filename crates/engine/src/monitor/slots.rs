//! How many slots clusters serve, by what their members say.

use std::collections::{BTreeMap, HashMap};

use redtrove_core::instance::{Instance, RedisState};
use redtrove_core::slots::SLOT_COUNT;
use redtrove_core::{ClusterId, SlotSet};

use super::{Failed, heard};
use crate::ports::{GuestError, GuestStatus};

const ALL: u32 = SLOT_COUNT as u32;

/// How many slots each cluster serves, where that is news beside what was known `before`.
///
/// A member whose agent is silent may well serve: unless the others hold it for failed, nothing is known of the cluster
/// then, and what was known stays. A slot that moves is seen at both members or at none, as they are not asked at the
/// same moment: one is not served if nobody had it in two rounds in a row. `lacking` are the clusters that lacked slots in
/// the last round, with those that they served.
pub(super) fn news(
    instances: &[Instance],
    answers: &[Result<GuestStatus, GuestError>],
    failed: &Failed,
    before: &BTreeMap<ClusterId, Option<u32>>,
    lacking: &mut BTreeMap<ClusterId, SlotSet>,
) -> Vec<(ClusterId, u32)> {
    let mut served: HashMap<ClusterId, Option<SlotSet>> = HashMap::new();
    for (instance, answer) in instances.iter().zip(answers) {
        let slots = served.entry(instance.cluster).or_insert_with(|| Some(SlotSet::empty()));
        let is_failed = failed.holds(instance);
        match answer {
            Ok(status) if status.redis == RedisState::Running && !is_failed => {
                *slots = slots.take().map(|slots| slots.union(&status.slots));
            }
            answer if is_failed || heard(answer) => {}
            _ => *slots = None,
        }
    }
    let served: BTreeMap<ClusterId, SlotSet> =
        served.into_iter().filter_map(|(id, slots)| Some((id, slots?))).collect();
    let news = served.iter().filter_map(|(cluster, slots)| {
        let count = match lacking.get(cluster) {
            _ if slots.count() == ALL => ALL,
            Some(last) => slots.clone().union(last).count(),
            None => return None,
        };
        let known = before.get(cluster)?;
        (*known != Some(count)).then_some((*cluster, count))
    });
    let news = news.collect();
    *lacking = served.into_iter().filter(|(_, slots)| slots.count() < ALL).collect();
    news
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
    fn a_silent_agent_leaves_open_what_its_server_does_unless_the_others_know() {
        let silent_one = || [serving(0, 5460, &[]), serving(5461, 10922, &[]), silent()];
        assert_eq!(rounds(&[whole(), silent_one(), silent_one()]), [Some(16_384), None, None]);
        let failed = || [serving(0, 5460, &[3]), serving(5461, 10922, &[3]), silent()];
        assert_eq!(rounds(&[whole(), failed(), failed()]), [Some(16_384), None, Some(10_923)]);
    }
}
