//! The tokio runtime that a test runs in.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    task::yield_now,
    time::{Instant, advance, pause, sleep},
};

use super::{FAR, GRAIN, Patience, Zero};
use crate::runtime::{
    Tick,
    simulator::{Companion, Simulator},
};

/// How often other tasks of the runtime have their turn before they are taken to have nothing to do.
const TURNS: u32 = 16;

/// The tokio runtime that a test runs in: nothing of it goes on before the test awaits something.
pub(in crate::testing::bus) struct CallersRuntime {
    handle: Handle,
    zero: Mutex<Zero>,
}

impl CallersRuntime {
    pub(super) fn new(handle: Handle, sim: &Simulator) -> Self {
        if !is_paused() {
            pause();
        }
        let zero = Mutex::new(Zero::at(Instant::now(), sim));
        Self { handle, zero }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs what can run without time passing.
    pub(super) async fn run_ready(&self, sim: &Simulator, patience: &mut Patience<'_>) {
        let mut turns = 0;
        while turns < TURNS {
            while sim.is_ready() {
                _ = sim.step();
                patience.count();
                turns = 0;
            }
            yield_now().await;
            turns += 1;
        }
    }

    /// Lets tokio go on until a task of the simulator can run, or to that time at most. False where it
    /// has come there, or, without one, nowhere.
    pub(super) async fn wait(
        &self,
        sim: &Simulator,
        until: Option<Tick>,
        patience: &mut Patience<'_>,
    ) -> bool {
        patience.count();
        let now = self.now();
        let time = until.map_or(FAR, |until| until.saturating_sub(now));
        if time <= GRAIN {
            advance(time).await;
            return false;
        }
        let mut end = pin!(sleep(time.saturating_sub(GRAIN)));
        let went_on = poll_fn(|cx| match sim.poll_ready(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => end.as_mut().poll(cx).map(|()| false),
        });
        let went_on = went_on.await;
        if !went_on && until.is_none() {
            self.zero.lock().set_back(Instant::now(), now);
            return false;
        }
        true
    }
}

impl Companion for CallersRuntime {
    fn now(&self) -> Tick {
        let now = {
            let _entered = self.handle.enter();
            Instant::now()
        };
        self.zero.lock().tick_at(now)
    }

    /// It goes on where the test awaits it.
    fn go_on(&self, _: Option<Tick>) -> bool {
        false
    }
}

/// Whether the clock of the runtime stands still.
fn is_paused() -> bool {
    let now = Instant::now();
    (0..1000).all(|_| Instant::now().saturating_duration_since(now) == Duration::ZERO)
}
