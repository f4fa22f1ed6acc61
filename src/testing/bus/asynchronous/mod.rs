//! Async handlers of a bus under test, by the virtual clock.

mod callers;
mod own;

use std::{sync::Arc, time::Duration};

use ::tokio::{
    runtime::{Handle, RuntimeFlavor},
    time::Instant,
};
use callers::CallersRuntime;
pub(in crate::testing) use own::{OwnRuntime, Watch};

use super::{Ground, TestBus, observer::Observer, patience::Patience};
use crate::{
    bus::Report,
    runtime::{Tick, simulator::Simulator},
};

/// tokio's timers are no finer.
const GRAIN: Duration = Duration::from_millis(1);

/// A time in which a handler that waits for anything at all goes on: a little more than a week.
const FAR: Duration = Duration::from_hours(24 * 8);

/// Which moment of the simulator is which of tokio's clock.
struct Zero {
    tick: Tick,
    instant: Instant,
}

impl Zero {
    fn at(instant: Instant, sim: &Simulator) -> Self {
        Self { tick: sim.elapsed(), instant }
    }

    fn tick_at(&self, instant: Instant) -> Tick {
        self.tick + instant.saturating_duration_since(self.instant)
    }

    /// tokio's clock has come to `instant`, while it is still `tick`.
    fn set_back(&mut self, instant: Instant, tick: Tick) {
        self.instant += self.tick_at(instant).saturating_sub(tick);
    }
}

impl Watch for Observer {
    fn is_busy(&self) -> bool {
        Self::is_busy(self)
    }
}

/// The tokio runtime of a process.
pub(super) enum Tokio {
    Own(Arc<OwnRuntime>),
    /// That of the test.
    Callers(Arc<CallersRuntime>),
}

impl Tokio {
    /// A process begins.
    #[track_caller]
    pub(super) fn begin(sim: &Simulator, observer: &Arc<Observer>) -> Self {
        let Ok(handle) = Handle::try_current() else {
            let own = Arc::new(OwnRuntime::new(sim, Arc::clone(observer) as _));
            sim.accompany(Some(Arc::clone(&own) as _));
            return Self::Own(own);
        };
        assert!(
            handle.runtime_flavor() == RuntimeFlavor::CurrentThread,
            "a bus under test runs on one thread: use a tokio runtime of flavor `current_thread`, which \
             is the default of `#[tokio::test]`"
        );
        let callers = Arc::new(CallersRuntime::new(handle, sim));
        sim.accompany(Some(Arc::clone(&callers) as _));
        Self::Callers(callers)
    }

    pub(super) fn handle(&self) -> &Handle {
        match self {
            Self::Own(own) => own.handle(),
            Self::Callers(callers) => callers.handle(),
        }
    }
}

impl Ground {
    pub(super) fn is_inside_tokio(&self) -> bool {
        matches!(self.tokio, Some(Tokio::Callers(_)))
    }

    /// As `run_until_idle`, inside a tokio runtime.
    pub(in crate::testing) async fn run_until_idle_async(&self) {
        let Some(callers) = self.callers() else { return self.run_until_idle() };
        let (sim, observer) = (&self.sim, &self.observer);
        let mut patience = Patience::new(self);
        loop {
            callers.run_ready(sim, &mut patience).await;
            match sim.next_timer() {
                Some(due) if due <= sim.elapsed() => _ = sim.step(),
                None if !observer.is_busy() => return,
                due => {
                    let has_more = callers.wait(sim, due, &mut patience).await || due.is_some();
                    if !has_more {
                        return patience.assert_nobody_is_stuck();
                    }
                }
            }
        }
    }

    fn callers(&self) -> Option<&CallersRuntime> {
        match &self.tokio {
            Some(Tokio::Callers(callers)) => Some(callers),
            _ => None,
        }
    }
}

/// For async tests.
impl TestBus {
    /// The runtime that async handlers run on, for what a test spawns or subscribes beside its set-up.
    ///
    /// # Panics
    /// Never: a process of a bus under test has one.
    #[must_use]
    pub fn tokio(&self) -> Handle {
        match &self.ground.tokio {
            Some(tokio) => tokio.handle().clone(),
            None => unreachable!("a process has a runtime from its beginning to its end"),
        }
    }

    /// As [`run_until_idle`](Self::run_until_idle), inside `#[tokio::test]`. With `start_paused = true`
    /// timers in handlers are exact, without they may be late by up to 1 ms.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// use std::time::Duration;
    /// use tidings::{Delivery, Error, testing::TestBus};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Error> {
    /// let bus = TestBus::start(|bus| {
    ///     let bus = bus.build()?;
    ///     bus.subscribe("slow")
    ///         .on_async(|_: Delivery<Ping>| async { tokio::time::sleep(Duration::from_secs(3600)).await })
    ///         .start()?;
    ///     Ok::<_, Error>(bus)
    /// })?;
    /// bus.publish(Ping)?;
    /// bus.run_until_idle_async().await;
    /// assert!(bus.elapsed() >= Duration::from_secs(3600));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// As there.
    pub async fn run_until_idle_async(&self) {
        self.ground.run_until_idle_async().await;
    }

    /// As [`advance`](Self::advance), inside `#[tokio::test]`.
    ///
    /// # Panics
    /// As there.
    pub async fn advance_async(&self, duration: Duration) {
        let Some(callers) = self.ground.callers() else { return self.advance(duration) };
        let sim = &self.ground.sim;
        let end = sim.elapsed().saturating_add(duration);
        let mut patience = Patience::new(&self.ground);
        loop {
            callers.run_ready(sim, &mut patience).await;
            let due = sim.next_timer().filter(|due| *due <= end);
            let until = due.unwrap_or(end);
            if until > sim.elapsed() {
                callers.wait(sim, Some(until), &mut patience).await;
            } else if !sim.step_until(end) {
                return;
            }
        }
    }

    /// As [`restart`](Self::restart), inside `#[tokio::test]`: async handlers that are under way come to
    /// their end first, if that takes no longer than 30 s of virtual time.
    ///
    /// # Panics
    /// As there.
    #[allow(clippy::must_use_candidate)] // it is restarted either way
    pub async fn restart_async(&mut self) -> Report {
        if let Some(callers) = self.ground.callers() {
            let (sim, observer) = (&self.ground.sim, &self.ground.observer);
            let end = sim.elapsed().saturating_add(super::GRACE);
            let mut patience = Patience::new(&self.ground);
            for subscription in self.bus.running() {
                subscription.pause();
            }
            while observer.is_busy() && sim.elapsed() < end {
                callers.run_ready(sim, &mut patience).await;
                let until = sim.next_timer().map_or(end, |due| due.min(end));
                if until > sim.elapsed() {
                    callers.wait(sim, Some(until), &mut patience).await;
                } else {
                    _ = sim.step_until(end);
                }
            }
        }
        self.restart()
    }
}
