//! Telling that dead letters pile up.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::runtime::sync::Mutex;

/// Dead letters pile up: 80 % of those that a subscription keeps are there, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterAlarm {
    /// The subscription.
    pub subscription: Arc<str>,
    /// How many dead letters there are.
    pub count: u64,
    /// How many are kept at the most.
    pub bound: u64,
    /// There is no room for another one: the subscription rests.
    pub is_full: bool,
}

/// Whom to tell.
#[derive(Clone)]
pub(crate) struct AlarmHook(Arc<dyn Fn(DeadLetterAlarm) + Send + Sync>);

impl AlarmHook {
    pub(crate) fn new(hook: impl Fn(DeadLetterAlarm) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }
}

impl fmt::Debug for AlarmHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlarmHook")
    }
}

const CALM: u8 = 0;
const NEAR: u8 = 1;
const FULL: u8 = 2;

/// Tells each time that a level is reached which was not before.
#[derive(Debug)]
pub(in crate::delivery) struct Alarm {
    subscription: Arc<str>,
    bound: u64,
    hook: Option<AlarmHook>,
    /// Held while the letters are counted, so that the last count counts.
    level: Mutex<u8>,
}

impl Alarm {
    pub(in crate::delivery) fn new(
        subscription: &Arc<str>,
        bound: u64,
        hook: Option<AlarmHook>,
    ) -> Self {
        Self { subscription: Arc::clone(subscription), bound, hook, level: Mutex::new(CALM) }
    }

    /// There may be more letters than before, or fewer. No lock is to be held.
    pub(in crate::delivery) fn look(&self, count: impl FnOnce() -> u64) {
        let mut told = self.level.lock();
        let count = count();
        let level = self.level_of(count);
        let is_new = level > *told;
        *told = level;
        drop(told);
        if is_new {
            self.tell(count, level == FULL);
        }
    }

    fn level_of(&self, count: u64) -> u8 {
        match () {
            () if count >= self.bound => FULL,
            () if count >= self.bound - self.bound / 5 => NEAR,
            () => CALM,
        }
    }

    fn tell(&self, count: u64, is_full: bool) {
        let (subscription, bound) = (&*self.subscription, self.bound);
        if is_full {
            tracing::error!(
                subscription,
                count,
                bound,
                "there is no room for another dead letter: the subscription rests"
            );
        } else {
            tracing::warn!(subscription, count, bound, "dead letters pile up");
        }
        let Some(AlarmHook(hook)) = &self.hook else { return };
        let subscription = Arc::clone(&self.subscription);
        let alarm = DeadLetterAlarm { subscription, count, bound, is_full };
        if catch_unwind(AssertUnwindSafe(|| hook(alarm))).is_err() {
            tracing::error!(
                subscription = &*self.subscription,
                "what was to be told that dead letters pile up has panicked"
            );
        }
    }
}

#[cfg(all(test, not(tidings_loom)))]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn each_level_is_told_once_each_time_that_it_is_reached() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let hook = AlarmHook::new(move |alarm| list.lock().push((alarm.count, alarm.is_full)));
        let alarm = Alarm::new(&"billing".into(), 10, Some(hook));
        (1..=10).for_each(|count| alarm.look(|| count));
        assert_eq!(*told.lock(), [(8, false), (10, true)]);
        alarm.look(|| 9);
        alarm.look(|| 10);
        assert_eq!(told.lock()[2..], [(10, true)]);
        alarm.look(|| 0);
        (1..=9).for_each(|count| alarm.look(|| count));
        assert_eq!(told.lock()[3..], [(8, false)]);
    }

    #[test]
    fn a_bound_of_one_is_full_at_once() {
        let level = |bound, count| Alarm::new(&"billing".into(), bound, None).level_of(count);
        assert_eq!((level(1, 0), level(1, 1)), (CALM, FULL));
        assert_eq!((level(u64::MAX, 5), level(5, 3), level(5, 4)), (CALM, CALM, NEAR));
    }
}

/// Under `loom`, which tries every order in which threads can get on.
#[cfg(all(test, tidings_loom))]
mod models {
    use std::sync::atomic::Ordering::Relaxed;

    use loom::thread;

    use super::*;
    use crate::runtime::sync::AtomicU64;

    #[test]
    fn a_level_that_is_reached_again_is_told_again() {
        loom::model(|| {
            let told = Arc::new(AtomicU64::new(0));
            let tells = Arc::clone(&told);
            let hook = AlarmHook::new(move |alarm| {
                tells.fetch_add(u64::from(alarm.is_full), Relaxed);
            });
            let alarm = Arc::new(Alarm::new(&"billing".into(), 5, Some(hook)));
            let letters = Arc::new(Mutex::new(4));
            let change = |by: i64| {
                let (alarm, letters) = (Arc::clone(&alarm), Arc::clone(&letters));
                move || {
                    *letters.lock() += by;
                    alarm.look(|| letters.lock().unsigned_abs());
                }
            };
            change(0)();
            let threads = [change(1), change(-1)].map(thread::spawn);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let before = told.load(Relaxed);
            change(1)();
            assert_eq!(told.load(Relaxed), before + 1, "there are five again, and nobody knows");
        });
    }
}
