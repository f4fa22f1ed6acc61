//! Sees that something would go on for ever.

use std::time::Duration;

use super::{Ground, HandlerCall};

/// Counts steps until it is sure that something would go on for ever.
pub(super) struct Patience<'a> {
    ground: &'a Ground,
    began: Duration,
    steps: u64,
}

impl<'a> Patience<'a> {
    pub(super) fn new(ground: &'a Ground) -> Self {
        Self { ground, began: ground.sim.elapsed(), steps: 0 }
    }

    /// A step was taken.
    #[track_caller]
    pub(super) fn count(&mut self) {
        self.steps += 1;
        if self.steps > self.ground.max_steps {
            let took = self.ground.sim.elapsed().saturating_sub(self.began);
            panic!(
                "the bus does not come to rest: after {} steps and {took:?} of virtual time there is \
                 still something to do. Does something publish in a circle, or is retried for ever? \
                 The last calls of handlers:{}",
                self.ground.max_steps,
                lines(&self.ground.observer.last_calls(10)),
            );
        }
    }

    /// There is nothing left to do, so that handlers that are not done never will be.
    #[track_caller]
    pub(super) fn assert_nobody_is_stuck(&self) {
        let running = self.ground.observer.running();
        assert!(
            running.is_empty(),
            "nothing is left that would have these handlers end:{}\n{}",
            lines(&running),
            self.advice(),
        );
    }

    #[cfg(feature = "tokio")]
    fn advice(&self) -> &'static str {
        if self.ground.is_inside_tokio() {
            "inside of a tokio runtime, async handlers go on in `run_until_idle_async`"
        } else {
            "what they wait for has to come from within the bus; `advance` leaves them waiting"
        }
    }

    #[cfg(not(feature = "tokio"))]
    #[allow(clippy::unused_self)] // the same in both builds
    fn advice(&self) -> &'static str {
        ""
    }
}

fn lines(calls: &[HandlerCall]) -> String {
    let lines: Vec<_> = calls.iter().map(|call| format!("\n  {call}")).collect();
    lines.concat()
}
