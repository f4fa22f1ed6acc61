//! The states of a circuit breaker, without locks, clocks or hooks.

use super::{
    Rest,
    window::{Outcome, Window},
};
use crate::{policy::CircuitBreaker, runtime::Tick};

/// Events that failed before are probed when the breaker has been half-open for this part of the
/// time that it was open.
const LATER: u32 = 8;

/// A breaker's states. Each change begins an era; what belongs to an earlier one changes nothing.
#[derive(Debug)]
pub(super) struct Circuit {
    settings: CircuitBreaker,
    state: State,
    era: u64,
    /// Probes that have succeeded since an event failed that had never failed before.
    passed: u32,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    Open { until: Tick },
    HalfOpen { since: Tick, under_way: u32 },
}

/// A call that the breaker let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    era: u64,
    pub(super) is_probe: bool,
    /// Its event had not failed before.
    is_fresh: bool,
}

/// Why the breaker lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Nothing at all.
    Shut(Rest),
    /// No event that failed before.
    ForFailed { until: Tick },
}

/// The state that a breaker has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Closed,
    Open { until: Tick },
    HalfOpen,
}

impl Circuit {
    pub(super) fn new(settings: CircuitBreaker) -> Self {
        let state = State::Closed(Window::new(settings.window));
        Self { settings, state, era: 0, passed: 0 }
    }

    pub(super) fn settings(&self) -> &CircuitBreaker {
        &self.settings
    }

    /// Where it stands.
    pub(super) fn state(&self) -> Change {
        match self.state {
            State::Closed(_) => Change::Closed,
            State::Open { until } => Change::Open { until },
            State::HalfOpen { .. } => Change::HalfOpen,
        }
    }

    /// Whether good outcomes would change nothing.
    pub(super) fn is_spotless(&self) -> bool {
        matches!(&self.state, State::Closed(window) if window.is_spotless())
    }

    /// What the time brings: an open breaker lets probes through, and does so again where those
    /// before were never heard of again.
    pub(super) fn look(&mut self, now: Tick) -> Option<Change> {
        let again = self.settings.open_for;
        match self.state {
            State::Open { until } if now >= until => {}
            State::HalfOpen { since, under_way } if under_way > 0 && now >= since + again => {}
            _ => return None,
        }
        Some(self.turn(State::HalfOpen { since: now, under_way: 0 }))
    }

    /// Lets a call through. `is_fresh` where its event has not failed before.
    pub(super) fn enter(&mut self, now: Tick, is_fresh: bool) -> Result<Call, Broken> {
        if let Some(rest) = self.rest() {
            return Err(Broken::Shut(rest));
        }
        let (era, later) = (self.era, self.settings.open_for / LATER);
        let State::HalfOpen { since, under_way } = &mut self.state else {
            return Ok(Call { era, is_probe: false, is_fresh });
        };
        let until = since.saturating_add(later);
        if !is_fresh && now < until {
            return Err(Broken::ForFailed { until });
        }
        *under_way += 1;
        Ok(Call { era, is_probe: true, is_fresh })
    }

    /// How long nothing is let through.
    pub(super) fn rest(&self) -> Option<Rest> {
        match self.state {
            State::Closed(_) => None,
            State::Open { until } => Some(Rest::Until(until)),
            State::HalfOpen { since, under_way } => {
                let taken = under_way + self.passed >= self.settings.probes;
                taken.then(|| Rest::Until(since.saturating_add(self.settings.open_for)))
            }
        }
    }

    /// So many calls of the closed breaker have ended well.
    pub(super) fn succeeded(&mut self, count: u64) {
        if let State::Closed(window) = &mut self.state {
            window.push_good(count);
        }
    }

    /// A call of the closed breaker has ended, for which nobody had asked.
    pub(super) fn counted(&mut self, outcome: Outcome, now: Tick) -> Option<Change> {
        let State::Closed(window) = &mut self.state else { return None };
        window.push(outcome);
        self.is_too_bad().then(|| self.open(now))
    }

    /// A call has ended.
    pub(super) fn ended(&mut self, call: Call, outcome: Outcome, now: Tick) -> Option<Change> {
        if call.era != self.era {
            return None;
        }
        match &mut self.state {
            State::Open { .. } => None,
            State::Closed(_) => self.counted(outcome, now),
            State::HalfOpen { .. } if outcome.failed || outcome.slow => {
                if call.is_fresh {
                    self.passed = 0;
                }
                Some(self.open(now))
            }
            State::HalfOpen { under_way, .. } => {
                *under_way = under_way.saturating_sub(1);
                self.passed += 1;
                if self.passed < self.settings.probes {
                    return None;
                }
                Some(self.turn(State::Closed(Window::new(self.settings.window))))
            }
        }
    }

    /// A call came to nothing: it says neither this nor that. True where another probe may be made.
    pub(super) fn withdraw(&mut self, call: Call) -> bool {
        match &mut self.state {
            State::HalfOpen { under_way, .. } if call.era == self.era => {
                *under_way = under_way.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    fn is_too_bad(&self) -> bool {
        let State::Closed(window) = &self.state else { return false };
        let CircuitBreaker { failure_rate, min_calls, slow, .. } = &self.settings;
        let (calls, share) = (f64::from(window.len()), |bad| bad / f64::from(window.len()));
        calls >= f64::from(*min_calls)
            && (share(f64::from(window.failed)) >= *failure_rate
                || slow.is_some_and(|slow| share(f64::from(window.slow)) >= slow.rate))
    }

    fn open(&mut self, now: Tick) -> Change {
        self.turn(State::Open { until: now.saturating_add(self.settings.open_for) })
    }

    fn turn(&mut self, state: State) -> Change {
        self.state = state;
        self.era += 1;
        if let State::Closed(_) = self.state {
            self.passed = 0;
        }
        self.state()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GOOD: Outcome = Outcome { failed: false, slow: false };
    const FAILED: Outcome = Outcome { failed: true, slow: false };
    const SLOW: Outcome = Outcome { failed: false, slow: true };

    fn circuit() -> Circuit {
        let settings = CircuitBreaker::new().window(10).min_calls(4).probes(2);
        Circuit::new(settings.slow_calls(SECOND, 0.8).open_for(8 * SECOND).clamped())
    }

    fn end(circuit: &mut Circuit, now: Tick, outcome: Outcome) -> Option<Change> {
        circuit.look(now);
        let call = circuit.enter(now, true).ok()?;
        circuit.ended(call, outcome, now)
    }

    #[test]
    fn too_few_calls_say_nothing_and_then_half_of_them_is_enough() {
        let mut breaker = circuit();
        for outcome in [FAILED, FAILED, FAILED] {
            assert_eq!(end(&mut breaker, SECOND, outcome), None);
        }
        assert_eq!(end(&mut breaker, SECOND, GOOD), Some(Change::Open { until: 9 * SECOND }));
        let shut = Broken::Shut(Rest::Until(9 * SECOND));
        assert_eq!(breaker.enter(2 * SECOND, true), Err(shut));
    }

    #[test]
    fn slow_calls_have_a_rate_of_their_own() {
        let mut breaker = circuit();
        let outcomes = [SLOW, GOOD, SLOW, SLOW, SLOW];
        let changes = outcomes.map(|outcome| end(&mut breaker, SECOND, outcome));
        assert_eq!(changes.iter().flatten().count(), 1);
        assert!(changes[4].is_some(), "four out of five");
    }

    fn fail_four_times(breaker: &mut Circuit) {
        for _ in 0..4 {
            end(breaker, Tick::ZERO, FAILED);
        }
    }

    fn opened() -> Circuit {
        let mut breaker = circuit();
        fail_four_times(&mut breaker);
        assert_eq!(breaker.state(), Change::Open { until: 8 * SECOND });
        breaker
    }

    #[test]
    fn probes_close_it_or_open_it_again() {
        let mut breaker = opened();
        assert_eq!(breaker.look(8 * SECOND), Some(Change::HalfOpen));
        let calls =
            [0, 1].map(|_| breaker.enter(8 * SECOND, true).ok().filter(|call| call.is_probe));
        assert!(breaker.enter(8 * SECOND, true).is_err(), "so many, and no more");
        let [first, second] = calls.map(Option::unwrap_or_default);
        assert_eq!(breaker.ended(first, GOOD, 9 * SECOND), None);
        assert_eq!(breaker.ended(second, GOOD, 9 * SECOND), Some(Change::Closed));
        let mut breaker = opened();
        assert_eq!(end(&mut breaker, 8 * SECOND, GOOD), None);
        let again = Some(Change::Open { until: 17 * SECOND });
        assert_eq!(end(&mut breaker, 9 * SECOND, FAILED), again);
    }

    #[test]
    fn an_event_that_failed_before_comes_last_and_cannot_undo_the_success_of_others() {
        let mut breaker = opened();
        let mut now = 8 * SECOND;
        for change in [None, Some(Change::Closed)] {
            breaker.look(now);
            let early = breaker.enter(now, false);
            assert_eq!(early, Err(Broken::ForFailed { until: now + SECOND }));
            assert_eq!(end(&mut breaker, now, GOOD), change);
            if change.is_none() {
                let poison = breaker.enter(now + SECOND, false).unwrap_or_default();
                let opens = breaker.ended(poison, FAILED, now + SECOND);
                now += 9 * SECOND;
                assert_eq!(opens, Some(Change::Open { until: now }));
            }
        }
    }

    #[test]
    fn what_was_under_way_before_a_change_says_nothing_after_it() {
        let mut breaker = circuit();
        let old = breaker.enter(Tick::ZERO, true).unwrap_or_default();
        let mut breaker = opened();
        assert_eq!(breaker.ended(old, GOOD, SECOND), None);
        assert_eq!(breaker.look(8 * SECOND), Some(Change::HalfOpen));
        assert_eq!(breaker.ended(old, FAILED, 8 * SECOND), None);
        assert!(!breaker.withdraw(old));
    }

    #[test]
    fn probes_that_are_never_heard_of_again_make_room_for_others() {
        let mut breaker = opened();
        breaker.look(8 * SECOND);
        let lost = [0, 1].map(|_| breaker.enter(8 * SECOND, true).unwrap_or_default());
        assert_eq!(breaker.rest(), Some(Rest::Until(16 * SECOND)));
        assert_eq!(breaker.look(16 * SECOND), Some(Change::HalfOpen));
        assert_eq!(breaker.ended(lost[0], GOOD, 16 * SECOND), None);
        assert!(breaker.enter(16 * SECOND, true).is_ok_and(|call| call.is_probe));
    }

    #[test]
    fn a_probe_that_comes_to_nothing_makes_room_for_another() {
        let mut breaker = opened();
        assert_eq!(breaker.look(8 * SECOND), Some(Change::HalfOpen));
        let calls = [0, 1].map(|_| breaker.enter(8 * SECOND, true).unwrap_or_default());
        assert!(breaker.enter(8 * SECOND, true).is_err());
        assert!(breaker.withdraw(calls[0]));
        assert!(breaker.enter(8 * SECOND, true).is_ok());
        assert!(breaker.enter(8 * SECOND, true).is_err());
    }

    impl Default for Call {
        fn default() -> Self {
            Self { era: u64::MAX, is_probe: false, is_fresh: true }
        }
    }

    proptest! {
        /// Each time that others succeed brings it nearer, whatever a poisonous event does.
        #[test]
        fn it_closes_while_others_come(
            probes in 1_u32..6,
            poison_first in prop::collection::vec(any::<bool>(), 6),
        ) {
            let settings = CircuitBreaker::new().min_calls(4).probes(probes);
            let mut breaker = Circuit::new(settings.open_for(8 * SECOND).clamped());
            let mut now = Tick::ZERO;
            fail_four_times(&mut breaker);
            for poison_first in poison_first {
                now += 8 * SECOND;
                breaker.look(now);
                for poison in [poison_first, !poison_first] {
                    let outcome = if poison { FAILED } else { GOOD };
                    if let Ok(call) = breaker.enter(now, !poison) {
                        breaker.ended(call, outcome, now);
                    }
                }
                if breaker.state() == Change::Closed {
                    return Ok(());
                }
                now += SECOND;
                if let Ok(call) = breaker.enter(now, false) {
                    breaker.ended(call, FAILED, now);
                }
            }
            prop_assert!(false, "it is still {breaker:?}");
        }
    }
}
