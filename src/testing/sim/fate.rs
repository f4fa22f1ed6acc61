//! Deciding at each moment whether something goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    fault::{Fault, Kind, Place},
    faults::{Faults, fraction},
};
use crate::{message::Position, runtime::mix};

/// How often a handler may be made to fail for one event.
const FAILURES_OF_AN_EVENT: u32 = 2;

/// In how many processes an event may be under way that end. One more, and the bus would take its handler
/// for what ends them ([`max_crashes`](crate::SubscriptionBuilder::max_crashes)).
const CRASHES_OF_AN_EVENT: u32 = 2;

/// How often a process may end without any progress since the last one did.
const CRASHES_IN_A_ROW: u32 = 2;

/// A subscription and the position of an event.
type Delivery = (String, Position);

/// What goes wrong in a run, and what did.
#[derive(Debug)]
pub(super) struct Fate {
    seed: u64,
    /// Each is drawn for itself: what one moment draws depends on no other.
    faults: Faults,
    /// These strike instead, and no others.
    given: Option<BTreeSet<Fault>>,
    /// How many moments of each kind there were.
    pub(super) counts: [u64; Place::COUNT],
    /// What went wrong, in order.
    pub(super) struck: Vec<Fault>,
    failures: BTreeMap<Delivery, u32>,
    crashes: BTreeMap<Delivery, u32>,
    /// Of the process that runs.
    begun: BTreeSet<Delivery>,
    crashes_in_a_row: u32,
    /// Nothing goes wrong any more.
    over: bool,
}

impl Fate {
    pub(super) fn new(seed: u64, faults: Faults, given: Option<BTreeSet<Fault>>) -> Self {
        Self {
            seed,
            faults,
            given,
            counts: [0; Place::COUNT],
            struck: Vec::new(),
            failures: BTreeMap::new(),
            crashes: BTreeMap::new(),
            begun: BTreeSet::new(),
            crashes_in_a_row: 0,
            over: false,
        }
    }

    /// How many moments of this kind there were.
    pub(super) fn count(&self, place: Place) -> u64 {
        self.counts[place as usize]
    }

    /// From now on nothing goes wrong.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// Something was achieved.
    pub(super) fn progress(&mut self) {
        self.crashes_in_a_row = 0;
    }

    /// A moment of this kind is there: whether something goes wrong.
    pub(super) fn strikes(&mut self, place: Place) -> Option<Fault> {
        self.strikes_if(place, |_| true)
    }

    /// The same, where that may go wrong alone which is allowed.
    pub(super) fn strikes_if(
        &mut self,
        place: Place,
        allowed: impl Fn(Kind) -> bool,
    ) -> Option<Fault> {
        let at = self.counts[place as usize];
        self.counts[place as usize] += 1;
        if self.over {
            return None;
        }
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.place() == place);
        let fault = kinds
            .map(|kind| Fault { kind, at })
            .find(|fault| allowed(fault.kind) && self.is_due(*fault))?;
        self.struck.push(fault);
        Some(fault)
    }

    /// A handler is about to be called, or is stored as about to be.
    pub(super) fn begins(&mut self, subscription: &str, position: Position) {
        self.begun.insert((subscription.into(), position));
    }

    /// The process has ended.
    pub(super) fn crashed(&mut self) {
        self.crashes_in_a_row += 1;
        for delivery in std::mem::take(&mut self.begun) {
            *self.crashes.entry(delivery).or_default() += 1;
        }
    }

    fn may_crash(&self) -> bool {
        let crashes = |delivery| self.crashes.get(delivery).copied().unwrap_or_default();
        self.crashes_in_a_row < CRASHES_IN_A_ROW
            && self.begun.iter().all(|delivery| crashes(delivery) < CRASHES_OF_AN_EVENT)
    }

    /// What the flow asks about, with its own probability.
    pub(super) fn chance(&mut self, probability: f64) -> Option<Fault> {
        let at = self.counts[Place::Question as usize];
        self.counts[Place::Question as usize] += 1;
        let fault = Fault { kind: Kind::Chance, at };
        let due = match &self.given {
            Some(given) => given.contains(&fault),
            None => fraction(self.drawn(fault)) < probability,
        };
        if self.over || !due {
            return None;
        }
        self.struck.push(fault);
        Some(fault)
    }

    fn is_due(&self, fault: Fault) -> bool {
        if let Some(given) = &self.given {
            return given.contains(&fault);
        }
        let faults = &self.faults;
        if faults.at.contains(&(fault.kind, fault.at)) {
            return true;
        }
        if fault.kind.place() == Place::CrashPoint && !self.may_crash() {
            return false;
        }
        self.struck.len() < faults.most
            && fraction(self.drawn(fault)) < faults.rates[fault.kind as usize]
    }

    /// Whether the handler of an event is to fail, by a script. Counts as no fault.
    pub(super) fn is_scripted(&self, subscription: &str, attempt: u32) -> bool {
        !self.over
            && self.faults.failing.get(subscription).is_some_and(|failing| attempt <= *failing)
    }

    /// Whether the handler of an event may be made to fail once more.
    pub(super) fn may_fail(&self, subscription: &str, position: Position) -> bool {
        let failures = self.failures.get(&(subscription.to_owned(), position));
        failures.is_none_or(|failures| *failures < FAILURES_OF_AN_EVENT)
    }

    pub(super) fn note_failure(&mut self, subscription: &str, position: Position) {
        *self.failures.entry((subscription.to_owned(), position)).or_default() += 1;
    }

    /// A random number that belongs to a fault.
    pub(super) fn drawn(&self, fault: Fault) -> u64 {
        mix(self.seed ^ mix(fault.at ^ mix(0xfa17 ^ fault.kind as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: Faults, given: Option<&[Fault]>) -> Vec<Fault> {
        let mut fate = Fate::new(7, faults, given.map(|given| given.iter().copied().collect()));
        for _ in 0..100 {
            fate.progress();
            fate.strikes(Place::CrashPoint);
            fate.strikes(Place::Arrival);
        }
        fate.struck
    }

    #[test]
    fn what_was_drawn_can_be_given() {
        let faults = Faults::none().kills(0.1).duplicates(0.3);
        let drawn = struck(faults.clone(), None);
        assert!(drawn.len() > 10);
        assert_eq!(struck(faults.clone(), Some(&drawn)), drawn);
        assert_eq!(struck(faults, Some(&[])), []);
    }

    #[test]
    fn what_is_certain_happens_and_ends() {
        let always = struck(Faults::none().kills(1.0).most(5), None);
        assert_eq!(always.len(), 5);
        let mut fate = Fate::new(7, Faults::none().power_losses(1.0), None);
        let mut strikes = || {
            let strikes = fate.strikes(Place::CrashPoint).is_some();
            if strikes {
                fate.crashed();
            }
            strikes
        };
        assert_eq!([0; 4].map(|_| strikes()), [true, true, false, false], "two without progress");
        fate.progress();
        fate.end();
        assert_eq!(fate.strikes(Place::CrashPoint), None);
    }

    #[test]
    fn an_event_is_under_way_in_two_crashes_at_most() {
        let mut fate = Fate::new(7, Faults::none().kills(1.0), None);
        for expected in [true, true, false, false] {
            fate.progress();
            fate.begins("billing", Position::FIRST);
            assert_eq!(fate.strikes(Place::CrashPoint).is_some(), expected);
            if expected {
                fate.crashed();
            }
        }
    }

    #[test]
    fn a_fault_can_be_asked_for_by_its_place() {
        let kinds = struck(Faults::none().kill_at(3).power_loss_at(5), None);
        let expected = [Fault { kind: Kind::Kill, at: 3 }, Fault { kind: Kind::PowerLoss, at: 5 }];
        assert_eq!(kinds, expected);
    }
}
