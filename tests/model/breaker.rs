//! Whether a circuit breaker keeps what it says: nothing is called while it is open, and a probe that
//! fails is no attempt.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidings::CircuitBreaker;

use crate::{notes::Notes, subscriptions::Scene};

/// What the breaker of one start has told, and the probes since. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Until when it is open, from when it opens to when it closes.
    broken: Option<Duration>,
    /// Calls that are probes, by event, with the number of the attempt.
    probes: BTreeMap<u64, u32>,
    failed: BTreeMap<u64, u32>,
    /// Layers fail as well, which nobody sees here.
    has_layers: bool,
}

impl Told {
    /// Has a breaker tell.
    pub(crate) fn by(
        breaker: CircuitBreaker,
        open_for: Duration,
        scene: &Scene,
    ) -> (CircuitBreaker, Self) {
        let told = Self::default();
        told.0.lock().has_layers = scene.draws.layers;
        let (opened, closed) = (told.clone(), told.clone());
        let (sim, notes) = (scene.sim.clone(), scene.notes.clone());
        let breaker = breaker.on_open(move |_: &str| {
            notes.note("opened breakers");
            opened.0.lock().broken = Some(sim.elapsed() + open_for);
        });
        let notes = scene.notes.clone();
        let breaker = breaker.on_close(move |_: &str| {
            notes.note("closed breakers");
            closed.0.lock().broken = None;
        });
        (breaker, told)
    }

    /// A handler is called.
    pub(crate) fn call(&self, now: Duration, event: u64, attempt: u32, notes: &Notes) {
        let mut state = self.0.lock();
        if let Some(probe) = state.failed.remove(&event) {
            let why =
                || format!("event {event} failed a probe as attempt {probe}, and is now {attempt}");
            notes.demand(attempt == probe, why);
        }
        state.probes.remove(&event);
        if let Some(until) = state.broken {
            let why = || format!("a call at {now:?}, and the breaker is open until {until:?}");
            notes.demand(now >= until, why);
            state.probes.insert(event, attempt);
        }
    }

    /// It has failed.
    pub(crate) fn failed(&self, event: u64) {
        let mut state = self.0.lock();
        if let Some(attempt) = state.probes.remove(&event)
            && !state.has_layers
        {
            state.failed.insert(event, attempt);
        }
    }
}
