//! The 16384 hash slots of Redis Cluster and how they are divided.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many hash slots every Redis Cluster has.
pub const SLOT_COUNT: u16 = 16_384;

/// The most members a cluster may have: the limit that the Redis Cluster specification states.
pub const MAX_MEMBERS: usize = 1_000;

/// Slots `first` to `last`, both included; never empty, never out of bounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct SlotRange {
    first: u16,
    last: u16,
}

/// A pair of numbers that is no slot range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlotRange {
    /// A number past 16383.
    #[error("slot {0} is out of range: slots are 0 to 16383")]
    OutOfBounds(u32),
    /// The first slot comes after the last.
    #[error("slot range {0}-{1} is reversed")]
    Reversed(u32, u32),
}

impl SlotRange {
    /// The range from `first` to `last`, both included.
    pub fn new(first: u32, last: u32) -> Result<Self, InvalidSlotRange> {
        let bounded = |slot: u32| {
            u16::try_from(slot).ok().filter(|slot| *slot < SLOT_COUNT).ok_or(InvalidSlotRange::OutOfBounds(slot))
        };
        let (first16, last16) = (bounded(first)?, bounded(last)?);
        if first16 > last16 {
            return Err(InvalidSlotRange::Reversed(first, last));
        }
        Ok(Self { first: first16, last: last16 })
    }

    /// The lowest slot.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest slot.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many slots: 1 to 16384.
    pub fn count(self) -> u16 {
        self.last - self.first + 1
    }

    /// The slots, in order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl TryFrom<(u32, u32)> for SlotRange {
    type Error = InvalidSlotRange;

    fn try_from((first, last): (u32, u32)) -> Result<Self, InvalidSlotRange> {
        Self::new(first, last)
    }
}

impl From<SlotRange> for (u32, u32) {
    fn from(range: SlotRange) -> Self {
        (range.first.into(), range.last.into())
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl fmt::Debug for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number of members among which slots cannot be divided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("slots are divided among 1 to 1000 members, not {0}")]
pub struct InvalidMemberCount(pub usize);

/// Divides all slots among `members` as evenly as they go: contiguous, in member order, the first
/// `16384 mod members` of them one slot larger (the arithmetic of Trove's `RedisClusterTasks`, in integers).
pub fn divide(members: usize) -> Result<Vec<SlotRange>, InvalidMemberCount> {
    if !(1..=MAX_MEMBERS).contains(&members) {
        return Err(InvalidMemberCount(members));
    }
    let n = u16::try_from(members).map_err(|_| InvalidMemberCount(members))?;
    let (share, larger) = (SLOT_COUNT / n, SLOT_COUNT % n);
    let mut next = 0;
    Ok((0..n)
        .map(|member| {
            let first = next;
            next += share + u16::from(member < larger);
            SlotRange { first, last: next - 1 }
        })
        .collect())
}

/// Any set of slots.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SlotSet(Box<[u64; 256]>);

impl SlotSet {
    /// No slots.
    pub fn empty() -> Self {
        Self(Box::new([0; 256]))
    }

    /// All 16384 slots.
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; 256]))
    }

    /// Adds every slot of `range`.
    pub fn insert(&mut self, range: SlotRange) {
        let (first, last) = (usize::from(range.first), usize::from(range.last));
        for word in first / 64..=last / 64 {
            let (from, to) = (first.saturating_sub(word * 64), (last - word * 64).min(63));
            self.0[word] |= (u64::MAX << from) & (u64::MAX >> (63 - to));
        }
    }

    /// Whether `slot` is in the set.
    pub fn contains(&self, slot: u16) -> bool {
        slot < SLOT_COUNT && self.0[usize::from(slot) / 64] & (1 << (slot % 64)) != 0
    }

    /// How many slots: 0 to 16384.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether the set has no slot.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether every slot of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).all(|(mine, theirs)| mine & !theirs == 0)
    }

    /// The slots of both sets.
    pub fn union(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine |= theirs;
        }
        self
    }

    /// The slots of this set that are not in `other`.
    pub fn without(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0.iter()) {
            *mine &= !theirs;
        }
        self
    }

    /// Whether the two sets share a slot.
    pub fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).any(|(mine, theirs)| mine & theirs != 0)
    }

    /// The set as the fewest ranges, in order.
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in (0..SLOT_COUNT).filter(|slot| self.contains(*slot)) {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == slot => range.last = slot,
                _ => ranges.push(SlotRange { first: slot, last: slot }),
            }
        }
        ranges
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<SlotRange> for SlotSet {
    fn from(range: SlotRange) -> Self {
        [range].into_iter().collect()
    }
}

impl FromIterator<SlotRange> for SlotSet {
    fn from_iter<I: IntoIterator<Item = SlotRange>>(ranges: I) -> Self {
        let mut set = Self::empty();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (n, range) in self.ranges().into_iter().enumerate() {
            write!(f, "{}{range}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_known_divisions() {
        let text = |n| divide(n).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(1), ["0-16383"]);
        assert_eq!(text(3), ["0-5461", "5462-10922", "10923-16383"]);
        let counts = |n| divide(n).unwrap().iter().map(|r| r.count()).collect::<Vec<_>>();
        assert_eq!(counts(5), [3277, 3277, 3277, 3277, 3276]);
        assert_eq!(counts(7), [2341, 2341, 2341, 2341, 2340, 2340, 2340]);
    }

    #[test]
    fn nobody_and_too_many_get_nothing() {
        assert_eq!(divide(0), Err(InvalidMemberCount(0)));
        assert_eq!(divide(1_001), Err(InvalidMemberCount(1_001)));
    }

    #[test]
    fn ranges_out_of_bounds_or_reversed_are_refused() {
        assert_eq!(SlotRange::new(0, 16_384), Err(InvalidSlotRange::OutOfBounds(16_384)));
        assert_eq!(SlotRange::new(u32::MAX, 1), Err(InvalidSlotRange::OutOfBounds(u32::MAX)));
        assert_eq!(SlotRange::new(2, 1), Err(InvalidSlotRange::Reversed(2, 1)));
        assert!(serde_json::from_str::<SlotRange>("[5, 70000]").is_err());
    }

    proptest! {
        #[test]
        fn a_division_is_contiguous_complete_and_even(n in 1usize..=MAX_MEMBERS) {
            let ranges = divide(n).unwrap();
            prop_assert_eq!(ranges.len(), n);
            prop_assert_eq!(ranges[0].first(), 0);
            prop_assert_eq!(ranges[n - 1].last(), SLOT_COUNT - 1);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].last() + 1 == pair[1].first()));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].count() >= pair[1].count()), "the larger come first");
            prop_assert!(ranges[0].count() - ranges[n - 1].count() <= 1);
        }

        #[test]
        fn a_set_is_its_ranges(bounds in proptest::collection::vec((0u32..16_384, 0u32..16_384), 0..20)) {
            let ranges: Vec<_> = bounds.iter().map(|(a, b)| SlotRange::new(*a.min(b), *a.max(b)).unwrap()).collect();
            let set: SlotSet = ranges.iter().copied().collect();
            for slot in 0..SLOT_COUNT {
                let inside = bounds.iter().any(|(a, b)| (*a.min(b)..=*a.max(b)).contains(&u32::from(slot)));
                prop_assert_eq!(set.contains(slot), inside);
            }
            let again: SlotSet = set.ranges().into_iter().collect();
            prop_assert_eq!(&again, &set);
            prop_assert!(again.is_subset(&set));
            let united = ranges.iter().fold(SlotSet::empty(), |all, range| all.union(&SlotSet::from(*range)));
            prop_assert_eq!(&united, &set);
            for range in &ranges {
                let range = SlotSet::from(*range);
                let rest = set.clone().without(&range);
                prop_assert!(!rest.intersects(&range));
                prop_assert_eq!(rest.union(&range), set.clone());
            }
            prop_assert_eq!(set.count(), set.ranges().iter().map(|r| u32::from(r.count())).sum::<u32>());
        }

        #[test]
        fn a_range_is_within_bounds_or_refused(first in any::<u32>(), last in any::<u32>()) {
            let fits = first <= last && last < 16_384;
            prop_assert_eq!(SlotRange::new(first, last).is_ok(), fits);
        }
    }
}
