//! A tokio runtime of the test bus's own, for plain tests.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::{Instant, Sleep, advance, sleep},
};

use super::{FAR, GRAIN, Zero};
use crate::runtime::{
    Tick,
    simulator::{Companion, Simulator},
};

/// How often a runtime has to have nothing to do in a row before that is believed: timers that are due
/// are looked at in between.
const QUIET: u32 = 3;

/// Knows whether handlers are at work.
pub(in crate::testing) trait Watch: Send + Sync {
    /// Whether there is anything that time could bring about.
    fn is_busy(&self) -> bool;
}

/// A tokio runtime that goes on when a simulator has nothing to do, by its clock.
pub(in crate::testing) struct OwnRuntime {
    runtime: Runtime,
    brink: Arc<Brink>,
    watch: Arc<dyn Watch>,
    zero: Mutex<Zero>,
    /// It does so now; a handler that waits for its own bus cannot have it do more.
    goes_on: AtomicBool,
}

/// The moment before the runtime has nothing to do and lets time pass. It is asked there whether it may.
struct Brink {
    sim: Simulator,
    /// Who decides.
    waker: Mutex<Option<Waker>>,
    /// How often it was asked since anything else happened.
    asked: Mutex<u32>,
    /// Time must not pass.
    holds: AtomicBool,
}

impl OwnRuntime {
    #[track_caller]
    pub(in crate::testing) fn new(sim: &Simulator, watch: Arc<dyn Watch>) -> Self {
        let brink = Arc::new(Brink {
            sim: sim.clone(),
            waker: Mutex::default(),
            asked: Mutex::default(),
            holds: AtomicBool::new(true),
        });
        let (before, after) = (Arc::clone(&brink), Arc::clone(&brink));
        let built = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .on_thread_park(move || before.ask())
            .on_thread_unpark(move || after.go_on())
            .build();
        let runtime = built.unwrap_or_else(|error| panic!("tokio could not be started: {error}"));
        let instant = {
            let _entered = runtime.enter();
            Instant::now()
        };
        Self {
            runtime,
            brink,
            watch,
            zero: Mutex::new(Zero::at(instant, sim)),
            goes_on: AtomicBool::new(false),
        }
    }

    pub(in crate::testing) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    fn go_on_until(&self, until: Option<Tick>) -> bool {
        let now = self.now();
        let time = match until {
            Some(until) => until.saturating_sub(now),
            None if self.watch.is_busy() => FAR,
            None => Duration::ZERO,
        };
        let went_on = match time.checked_sub(GRAIN) {
            Some(time) if !time.is_zero() => self.wait(time),
            _ => self.drain(),
        };
        if went_on {
            return true;
        }
        if until.is_none() {
            self.zero.lock().set_back(self.instant(), now);
            return false;
        }
        // Timers are as coarse as the grain, the simulator's clock is not.
        self.runtime.block_on(advance(until.unwrap_or(now).saturating_sub(self.now())));
        !time.is_zero()
    }

    /// Has it do all that can be done now. True where the simulator can go on before that.
    fn drain(&self) -> bool {
        self.run(true, None)
    }

    /// The same for all that can be done within that time.
    fn wait(&self, time: Duration) -> bool {
        let sleep = {
            let _entered = self.runtime.enter();
            sleep(time)
        };
        self.run(false, Some(pin!(sleep)))
    }

    fn run(&self, holds: bool, mut end: Option<Pin<&mut Sleep>>) -> bool {
        self.brink.begin(holds);
        let went = self.runtime.block_on(std::future::poll_fn(|cx| {
            self.brink.heed(cx);
            let is_over = end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready());
            if self.brink.sim.is_ready() {
                Poll::Ready(true)
            } else if is_over || holds && self.brink.is_quiet() {
                Poll::Ready(false)
            } else {
                Poll::Pending
            }
        }));
        self.brink.end();
        went
    }

    fn instant(&self) -> Instant {
        let _entered = self.runtime.enter();
        Instant::now()
    }
}

impl Companion for OwnRuntime {
    fn now(&self) -> Tick {
        let now = self.instant();
        self.zero.lock().tick_at(now)
    }

    fn go_on(&self, until: Option<Tick>) -> bool {
        if self.goes_on.swap(true, Ordering::AcqRel) {
            return false;
        }
        let went_on = self.go_on_until(until);
        self.goes_on.store(false, Ordering::Release);
        went_on
    }
}

impl Brink {
    fn begin(&self, holds: bool) {
        *self.asked.lock() = 0;
        self.holds.store(holds, Ordering::Release);
    }

    /// The waker is let go of: it holds the runtime, which holds this.
    fn end(&self) {
        self.begin(true);
        drop(self.waker.lock().take());
    }

    fn heed(&self, cx: &Context<'_>) {
        *self.waker.lock() = Some(cx.waker().clone());
    }

    fn is_quiet(&self) -> bool {
        *self.asked.lock() >= QUIET
    }

    /// The runtime has nothing to do.
    fn ask(&self) {
        let mut asked = self.asked.lock();
        let may_pass = *asked > 0 && !self.holds.load(Ordering::Acquire) && !self.sim.is_ready();
        if may_pass {
            *asked = 0;
            return;
        }
        *asked += 1;
        drop(asked);
        self.wake();
    }

    /// It has something to do again.
    fn go_on(&self) {
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
