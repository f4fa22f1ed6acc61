//! Telling that dead letters pile up.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

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
    level: AtomicU8,
}

impl Alarm {
    pub(in crate::delivery) fn new(
        subscription: &Arc<str>,
        bound: u64,
        hook: Option<AlarmHook>,
    ) -> Self {
        Self { subscription: Arc::clone(subscription), bound, hook, level: CALM.into() }
    }

    /// There are so many letters, after one was added. No lock is to be held.
    pub(in crate::delivery) fn rise(&self, count: u64) {
        let level = self.level_of(count);
        if self.level.fetch_max(level, Ordering::AcqRel) < level {
            self.tell(count, level == FULL);
        }
    }

    /// There are so many letters, after some were removed.
    pub(in crate::delivery) fn fall(&self, count: u64) {
        self.level.fetch_min(self.level_of(count), Ordering::AcqRel);
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

#[cfg(test)]
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
        (1..=10).for_each(|count| alarm.rise(count));
        assert_eq!(*told.lock(), [(8, false), (10, true)]);
        alarm.fall(9);
        alarm.rise(10);
        assert_eq!(told.lock()[2..], [(10, true)]);
        alarm.fall(0);
        (1..=9).for_each(|count| alarm.rise(count));
        assert_eq!(told.lock()[3..], [(8, false)]);
    }

    #[test]
    fn a_bound_of_one_is_full_at_once() {
        let level = |bound, count| Alarm::new(&"billing".into(), bound, None).level_of(count);
        assert_eq!((level(1, 0), level(1, 1)), (CALM, FULL));
        assert_eq!((level(u64::MAX, 5), level(5, 3), level(5, 4)), (CALM, CALM, NEAR));
    }
}
