//! Trouble of every kind, mixed, as a seed draws it: what becomes of each call while it lasts.

use std::time::Duration;

use super::chaos::{Fate, Trouble};
use super::clock::Chance;
use super::{Call, Port};

/// How often something befalls a call to one part of the world. Of a thousand calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    /// It fails and has no effect.
    pub(super) lost: u32,
    /// It takes effect, and its answer is lost.
    pub(super) unanswered: u32,
    /// It arrives much later, whoever may wait for it.
    pub(super) delayed: u32,
    /// It arrives, and once more much later.
    pub(super) doubled: u32,
}

/// What befalls calls.
#[derive(Debug)]
pub(super) struct Weather {
    chance: Chance,
    pub(super) store: Rates,
    pub(super) compute: Rates,
    pub(super) guests: Rates,
    /// The longest that a call is on its way.
    pub(super) longest: Duration,
    /// The database does not answer until then.
    pub(super) database_away_until: Duration,
    /// The provider does not answer until then.
    pub(super) provider_away_until: Duration,
}

/// How long a call waits for an answer that does not come.
const GIVES_UP: Duration = Duration::from_secs(8);

impl Weather {
    /// Nothing goes wrong yet.
    pub(super) fn calm(chance: Chance) -> Self {
        Self {
            chance,
            store: Rates::default(),
            compute: Rates::default(),
            guests: Rates::default(),
            longest: Duration::ZERO,
            database_away_until: Duration::ZERO,
            provider_away_until: Duration::ZERO,
        }
    }

    /// Some kinds of trouble, each as often as chance has it; many worlds know only a few kinds.
    pub(super) fn rough(mut chance: Chance) -> Self {
        let longest = chance.between(Duration::from_secs(5), Duration::from_secs(90));
        let mut rates = || {
            let mut rate =
                |most: usize| if chance.happens(500) { 0 } else { u32::try_from(chance.below(most)).unwrap_or(0) };
            Rates { lost: rate(60), unanswered: rate(60), delayed: rate(25), doubled: rate(60) }
        };
        let (store, compute, guests) = (rates(), rates(), rates());
        Self { store, compute, guests, longest, ..Self::calm(chance) }
    }

    /// From now on all is well.
    pub(super) fn clear(&mut self) {
        *self = Self::calm(self.chance.fork());
    }

    pub(super) fn fate(&mut self, call: &Call, now: Duration, cut_off: bool) -> Fate {
        let well = Fate::WELL;
        let trouble = Some(Trouble::Transient);
        let (rates, away_until) = match call.port {
            Port::Store => (self.store, self.database_away_until),
            Port::Compute => (self.compute, self.provider_away_until),
            Port::Guests => (self.guests, Duration::ZERO),
        };
        if now < away_until || cut_off && call.port == Port::Guests {
            return Fate { times: 0, trouble, late: self.chance.between(Duration::ZERO, GIVES_UP), ..well };
        }
        let roll = u32::try_from(self.chance.roll() % 1000).unwrap_or(0);
        let [lost, unanswered, delayed, doubled] = [
            rates.lost,
            rates.lost + rates.unanswered,
            rates.lost + rates.unanswered + rates.delayed,
            rates.lost + rates.unanswered + rates.delayed + rates.doubled,
        ];
        if roll < lost {
            Fate { times: 0, trouble, late: self.chance.between(Duration::ZERO, GIVES_UP), ..well }
        } else if roll < unanswered {
            Fate { trouble, late: self.chance.between(Duration::ZERO, GIVES_UP), ..well }
        } else if !call.changes {
            well
        } else if roll < delayed {
            Fate { delayed: self.chance.between(Duration::from_millis(50), self.longest), ..well }
        } else if roll < doubled && call.port != Port::Store {
            // A database does nothing twice that it was told once.
            Fate { again: Some(self.chance.between(Duration::ZERO, self.longest)), ..well }
        } else {
            well
        }
    }
}
