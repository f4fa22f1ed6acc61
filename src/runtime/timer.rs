//! Wakes tasks at their time, from one thread that starts with the first timer.
#![allow(clippy::disallowed_methods)] // the one place where they are allowed

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    thread,
    time::Instant,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Task, Tick};

pub(super) struct Timer {
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By time, then by order of arrival.
    waiting: BTreeMap<(Tick, u64), Weak<Task>>,
    count: u64,
    running: bool,
    closed: bool,
}

impl Timer {
    pub(super) fn new(started: Instant) -> Self {
        let shared = Shared { started, state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn add(&self, at: Tick, task: Weak<Task>) {
        let mut state = self.shared.state.lock();
        state.count += 1;
        let entry = (at, state.count);
        state.waiting.insert(entry, task);
        if !state.running {
            state.running = self.start();
        }
        let is_next = state.waiting.first_key_value().is_some_and(|(first, _)| *first == entry);
        if is_next {
            self.shared.changed.notify_one();
        }
    }

    fn start(&self) -> bool {
        let shared = Arc::clone(&self.shared);
        let spawned =
            thread::Builder::new().name("tidings:timer".into()).spawn(move || shared.run());
        if let Err(error) = &spawned {
            tracing::error!(%error, "could not start the timer's thread");
        }
        spawned.is_ok()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

/// The task may be dropped here, and with it what belongs to users; a panic of theirs must not cost
/// the timer its thread.
fn wake(task: &Weak<Task>) {
    let wake = || task.upgrade().iter().for_each(Task::wake);
    if catch_unwind(AssertUnwindSafe(wake)).is_err() {
        tracing::error!("dropping a task panicked");
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            let Some(entry) = state.waiting.first_entry() else {
                self.changed.wait(&mut state);
                continue;
            };
            let at = entry.key().0;
            if at <= self.started.elapsed() {
                let task = entry.remove();
                // Unlocked, since the task may hold the last reference to this very timer.
                MutexGuard::unlocked(&mut state, || wake(&task));
                continue;
            }
            match self.started.checked_add(at) {
                Some(due) => drop(self.changed.wait_until(&mut state, due)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}
