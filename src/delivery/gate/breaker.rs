//! The circuit breaker of a subscription at work, shared by its lanes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
};

use super::{
    Rest,
    circuit::{Broken, Call, Change, Circuit},
    window::Outcome,
};
use crate::{
    policy::{CircuitBreaker, SlowCalls},
    runtime::{
        Runtime, Tick, Timestamp,
        sync::{AtomicU8, Mutex},
    },
};

/// Closed, and more good outcomes would change nothing.
const SPOTLESS: u8 = 0;
const CLOSED: u8 = 1;
const BROKEN: u8 = 2;

/// Where the circuit breaker of a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Handlers are called.
    Closed,
    /// The subscription rests.
    Open {
        /// Until about this time.
        until: Timestamp,
    },
    /// A few events are let through, to see how they do.
    HalfOpen,
}

/// The circuit breaker of a subscription at work, shared by its lanes.
pub(super) struct Breaker {
    subscription: Arc<str>,
    circuit: Mutex<Circuit>,
    /// What the circuit is, for those who look often. Changes with it.
    phase: AtomicU8,
    slow: Option<SlowCalls>,
}

impl Breaker {
    pub(super) fn new(settings: CircuitBreaker, subscription: &Arc<str>) -> Self {
        let settings = settings.clamped();
        let slow = settings.slow;
        let circuit = Mutex::new(Circuit::new(settings));
        Self { subscription: Arc::clone(subscription), circuit, phase: AtomicU8::new(CLOSED), slow }
    }

    /// Whether calls have to be timed one by one.
    pub(super) fn times_calls(&self) -> bool {
        self.slow.is_some()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Acquire) != BROKEN
    }

    fn is_spotless(&self) -> bool {
        self.phase.load(Ordering::Acquire) == SPOTLESS
    }

    /// How long nothing is let through.
    pub(super) fn rest(&self, now: Tick) -> Option<Rest> {
        if self.is_closed() {
            return None;
        }
        self.change(|circuit| circuit.look(now));
        self.circuit.lock().rest()
    }

    /// Lets a call through. `is_fresh` where its event has not failed before.
    pub(super) fn enter(&self, now: Tick, is_fresh: bool) -> Result<Call, Broken> {
        self.circuit.lock().enter(now, is_fresh)
    }

    /// So many calls of the closed breaker have ended well.
    pub(super) fn succeeded(&self, count: u64) {
        if !self.is_spotless() {
            self.change(|circuit| {
                circuit.succeeded(count);
                None
            });
        }
    }

    /// A call has ended: one that was let through, or any of the closed breaker. True where lanes are
    /// to look at the breaker again.
    pub(super) fn ended(&self, call: Option<Call>, failed: bool, took: Tick, now: Tick) -> bool {
        let slow = self.slow.is_some_and(|slow| took > slow.longer_than);
        if !failed && !slow && self.is_spotless() {
            return false;
        }
        let outcome = Outcome { failed, slow };
        self.change(|circuit| match call {
            Some(call) => circuit.ended(call, outcome, now),
            None => circuit.counted(outcome, now),
        })
    }

    /// A call that was let through came to nothing. As for `ended`.
    pub(super) fn withdraw(&self, call: Call) -> bool {
        self.circuit.lock().withdraw(call)
    }

    pub(super) fn state(&self, runtime: &Runtime) -> BreakerState {
        match self.circuit.lock().state() {
            Change::Closed => BreakerState::Closed,
            Change::HalfOpen => BreakerState::HalfOpen,
            Change::Open { until } => {
                let left = until.saturating_sub(runtime.now());
                BreakerState::Open { until: runtime.wall().plus(left) }
            }
        }
    }

    /// Does something to the circuit, and tells of it if it has changed: true then.
    fn change(&self, act: impl FnOnce(&mut Circuit) -> Option<Change>) -> bool {
        let mut circuit = self.circuit.lock();
        let change = act(&mut circuit);
        let phase = match circuit.state() {
            Change::Closed if circuit.is_spotless() => SPOTLESS,
            Change::Closed => CLOSED,
            Change::Open { .. } | Change::HalfOpen => BROKEN,
        };
        if self.phase.load(Ordering::Relaxed) != phase {
            self.phase.store(phase, Ordering::Release);
        }
        let hook = change.and_then(|change| match change {
            Change::Closed => circuit.settings().on_close.clone(),
            Change::Open { .. } => circuit.settings().on_open.clone(),
            Change::HalfOpen => None,
        });
        drop(circuit);
        let Some(change) = change else { return false };
        self.trace(change);
        if let Some(hook) = hook {
            let called = catch_unwind(AssertUnwindSafe(|| hook(&self.subscription)));
            if called.is_err() {
                tracing::error!(subscription = &*self.subscription, "a breaker's hook panicked");
            }
        }
        true
    }

    fn trace(&self, change: Change) {
        let subscription = &*self.subscription;
        match change {
            Change::Closed => tracing::info!(subscription, "the circuit breaker closes"),
            Change::HalfOpen => tracing::info!(subscription, "the circuit breaker is half-open"),
            Change::Open { .. } => {
                tracing::warn!(subscription, "the circuit breaker opens: the subscription rests");
            }
        }
    }
}

/// Under `loom`, which tries every order in which threads can get on.
#[cfg(all(test, tidings_loom))]
mod models {
    use loom::thread;

    use super::*;

    fn breaker() -> Arc<Breaker> {
        let settings = CircuitBreaker::new().failure_rate(0.5).window(2).min_calls(2).probes(1);
        let settings = settings.open_for(Tick::from_secs(1));
        Arc::new(Breaker::new(settings, &"billing".into()))
    }

    /// What those see who look often, and what it is.
    fn is_known(breaker: &Breaker) -> bool {
        let circuit = breaker.circuit.lock();
        let is_closed = matches!(circuit.state(), Change::Closed);
        breaker.is_closed() == is_closed && breaker.is_spotless() == circuit.is_spotless()
    }

    #[test]
    fn a_breaker_is_what_it_looks_like_once_all_calls_have_ended() {
        loom::model(|| {
            let breaker = breaker();
            let threads = [false, true].map(|failed| {
                let breaker = Arc::clone(&breaker);
                thread::spawn(move || {
                    breaker.ended(None, failed, Tick::ZERO, Tick::ZERO);
                    breaker.succeeded(1);
                })
            });
            breaker.ended(None, true, Tick::ZERO, Tick::ZERO);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(is_known(&breaker));
        });
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through_at_a_time() {
        loom::model(|| {
            let breaker = breaker();
            (0..2).for_each(|_| _ = breaker.ended(None, true, Tick::ZERO, Tick::ZERO));
            assert!(!breaker.is_closed());
            let now = Tick::from_secs(1);
            let threads = [(); 2].map(|()| {
                let breaker = Arc::clone(&breaker);
                thread::spawn(move || {
                    let rests = breaker.rest(now).is_some();
                    (!rests).then(|| breaker.enter(now, true).ok()).flatten()
                })
            });
            let entered: Vec<_> =
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
            assert_eq!(entered.len(), 1);
            assert!(entered[0].is_probe && breaker.ended(Some(entered[0]), false, now, now));
            assert!(breaker.is_closed() && is_known(&breaker));
        });
    }
}

#[cfg(all(test, not(tidings_loom)))]
mod tests {
    use super::*;

    const FAILED: bool = true;

    #[test]
    fn calls_that_are_told_by_their_number_count_as_well() {
        let settings = CircuitBreaker::new().failure_rate(0.5).window(10).min_calls(5);
        let breaker = Breaker::new(settings, &"billing".into());
        let ended = |failed| breaker.ended(None, failed, Tick::ZERO, Tick::ZERO);
        (0..4).for_each(|_| _ = ended(FAILED));
        breaker.succeeded(9);
        (0..3).for_each(|_| _ = ended(FAILED));
        assert!(breaker.is_closed(), "three of the last ten");
        (0..2).for_each(|_| _ = ended(FAILED));
        assert!(!breaker.is_closed(), "five of the last ten");
    }
}
