//! `loom`'s structures with the faces of those that they stand in for.

pub(crate) mod channel;

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, fence},
    thread,
};

std::thread_local! {
    /// Whether this model depends on the total order of `SeqCst` accesses.
    pub(crate) static ONE_ORDER: Cell<bool> = const { Cell::new(false) };
}

/// `loom` takes `SeqCst` accesses for weaker ones, and knows a total order of fences only. These
/// hide other mistakes, and so they are there in models that cannot do without.
pub(crate) fn in_one_order() {
    if ONE_ORDER.get() {
        fence(Ordering::SeqCst);
    }
}

#[derive(Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard { mutex: self, held: Some(held) }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// Holds the lock, but for the time of a wait.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Option<loom::sync::MutexGuard<'a, T>>,
}

impl<T> MutexGuard<'_, T> {
    pub(crate) fn unlocked<R>(guard: &mut Self, act: impl FnOnce() -> R) -> R {
        guard.held = None;
        let done = act();
        guard.held = guard.mutex.lock().held;
        done
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_deref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_deref_mut().unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

/// That a wait has lasted too long.
pub(crate) struct TimedOut;

impl TimedOut {
    #[allow(clippy::unused_self)] // the face of the real one
    pub(crate) fn timed_out(&self) -> bool {
        true
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().unwrap();
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// `loom` knows no time: others may get on, and then it is that late.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> TimedOut {
        MutexGuard::unlocked(guard, thread::yield_now);
        NOW.set(NOW.get().max(until.0));
        TimedOut
    }
}

std::thread_local! {
    /// One thread runs all those of a model.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A time that passes only while somebody waits for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.get())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        NOW.get().saturating_sub(self.0)
    }

    pub(crate) fn checked_add(&self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    /// To be called where a model begins.
    #[cfg(test)]
    pub(crate) fn reset() {
        NOW.set(Duration::ZERO);
    }
}
