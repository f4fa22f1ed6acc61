//! Giving up dead letters that are older than they are to be kept.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::Subscriber;
use crate::{
    journal::Mistake,
    message::Position,
    runtime::{Armed, Step, Task, Timestamp},
};

/// The thread for it. Shared by all, since there is little to do, and apart from handlers.
const POOL: &str = "tidings letters"; // no user can name it so

/// The least time between two sweeps, so that letters go in numbers and not one by one.
const PAUSE: Duration = Duration::from_secs(1);

/// The most time between them, so that a wall clock that was set is noticed.
const LONGEST: Duration = Duration::from_hours(24);

/// How many letters go in one commit.
const AT_ONCE: usize = 256;

/// What others have to do with the sweep.
pub(super) struct Sweep {
    task: Arc<Task>,
    armed: Armed,
}

impl Sweep {
    /// Sweeps at once, and from then on whenever a letter is old.
    pub(super) fn start(subscriber: &Arc<Subscriber>, age: Duration) {
        let runtime = subscriber.runtime();
        let pool = runtime.pool(POOL, 1);
        let sweep = subscriber.sweep.get_or_init(|| {
            let own = Arc::clone(subscriber);
            let task = runtime.task(pool, move || {
                // Dropping an event runs its owner's code, which may panic.
                if catch_unwind(AssertUnwindSafe(|| own.sweep(age))).is_err() {
                    tracing::error!(subscription = &*own.name, "a sweep of dead letters panicked");
                    own.arm_sweep();
                }
                Step::Wait
            });
            let armed = Armed::default();
            armed.arm(); // for the wake-up below
            Self { task, armed }
        });
        sweep.task.wake();
    }

    /// There is a new letter.
    pub(super) fn arm(&self, subscriber: &Subscriber, age: Duration) {
        if self.armed.arm() {
            self.come_in(subscriber, age);
        }
    }

    pub(super) fn stop(&self) {
        self.task.stop();
    }

    fn come_in(&self, subscriber: &Subscriber, time: Duration) {
        let runtime = subscriber.runtime();
        let time = time.clamp(PAUSE, LONGEST);
        runtime.wake_at(runtime.now().saturating_add(time), &self.task);
    }
}

impl Subscriber {
    /// A letter was added.
    pub(super) fn arm_sweep(&self) {
        if let (Some(sweep), Some(age)) = (self.sweep.get(), self.policy.dead_letter_retention) {
            sweep.arm(self, age);
        }
    }

    fn sweep(&self, age: Duration) {
        let Some(sweep) = self.sweep.get() else { return };
        if !self.is_alive() {
            return;
        }
        sweep.armed.begin();
        let age = if self.is_planted(Mistake::SweepTooEarly) { age / 2 } else { age };
        let old = self.dead.died_by(before(self.runtime().wall(), age));
        self.give_up_old(&old, age);
        if let Some(oldest) = self.dead.oldest()
            && sweep.armed.arm()
        {
            sweep.come_in(self, oldest.plus(age).since(self.runtime().wall()));
        }
    }

    fn give_up_old(&self, old: &[Position], age: Duration) {
        let mut given_up = 0;
        for positions in old.chunks(AT_ONCE) {
            match self.discard_all(positions) {
                Ok(count) => given_up += count,
                Err(error) => {
                    tracing::error!(subscription = &*self.name, %error,
                        "old dead letters could not be given up; they stay for now");
                    break;
                }
            }
        }
        if given_up > 0 {
            tracing::warn!(subscription = &*self.name, count = given_up, kept_for = ?age,
                "dead letters were given up: they are older than they are to be kept");
        }
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(now.as_nanos().saturating_sub(age))
}
