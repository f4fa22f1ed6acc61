//! Rings alarms at their time and has the clock tick, from one thread that starts when first needed.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use crate::runtime::{
    Task, Tick, Timestamp,
    clock::{Clock, Dial, Source, UNUSED},
    sync::{Condvar, Instant, Mutex, MutexGuard, thread},
};

/// How often a ticking clock is set.
const TICK: Duration = Duration::from_millis(1);

/// What a timer rings: on its own thread, with nothing locked. Should be short.
pub(super) trait Alarm: Send + Sync {
    fn ring(self: Arc<Self>);
}

impl Alarm for Task {
    fn ring(self: Arc<Self>) {
        self.wake();
    }
}

pub(super) struct Timer {
    started: Instant,
    dial: Arc<Dial>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By time, then by order of arrival.
    waiting: BTreeMap<(Tick, u64), Weak<dyn Alarm>>,
    count: u64,
    /// While the clock ticks: when its dial was last seen used.
    ticking: Option<Tick>,
    running: bool,
    closed: bool,
}

impl Timer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            dial: Arc::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        Clock::new(Arc::clone(&self.dial), Arc::clone(self) as Arc<dyn Source>)
    }

    /// None beyond what the system's clock can express.
    pub(super) fn instant(&self, at: Tick) -> Option<Instant> {
        self.started.checked_add(at)
    }

    pub(super) fn add(self: &Arc<Self>, at: Tick, alarm: Weak<dyn Alarm>) {
        let mut state = self.state.lock();
        state.count += 1;
        let entry = (at, state.count);
        state.waiting.insert(entry, alarm);
        self.ensure_running(&mut state);
        let is_next = state.waiting.first_key_value().is_some_and(|(first, _)| *first == entry);
        if is_next {
            self.changed.notify_one();
        }
    }

    /// Ends the thread. Clocks go on without ticking.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    fn ensure_running(self: &Arc<Self>, state: &mut State) {
        if state.running || state.closed {
            return;
        }
        let timer = Arc::clone(self);
        let name = "tidings:timer".into();
        match thread::Builder::new().name(name).spawn(move || timer.run()) {
            Ok(_) => state.running = true,
            Err(error) => tracing::error!(%error, "could not start the timer's thread"),
        }
    }

    fn run(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            let now = self.now();
            self.set_clock(&mut state, now);
            if let Some(alarm) = state.take_due(now) {
                // What rings may be dropped here, and that takes as long as users like: meanwhile
                // the clock must not stand still.
                self.dial.clear();
                // Unlocked, since it may hold the last reference to this very timer.
                MutexGuard::unlocked(&mut state, || ring(&alarm));
                continue;
            }
            match state.next(now).and_then(|at| self.instant(at)) {
                Some(due) => drop(self.changed.wait_until(&mut state, due)),
                None => self.changed.wait(&mut state),
            }
        }
        self.dial.clear();
    }

    fn set_clock(&self, state: &mut State, now: Tick) {
        let Some(used) = state.ticking else {
            return;
        };
        let used = if self.dial.take_used() { now } else { used };
        if now.saturating_sub(used) < UNUSED {
            state.ticking = Some(used);
            self.dial.show(now, self.wall());
        } else {
            state.ticking = None;
            self.dial.clear();
        }
    }
}

impl State {
    fn take_due(&mut self, now: Tick) -> Option<Weak<dyn Alarm>> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When there is something to do.
    fn next(&self, now: Tick) -> Option<Tick> {
        let due = self.waiting.first_key_value().map(|((at, _), _)| *at);
        let tick = self.ticking.map(|_| now.saturating_add(TICK));
        [due, tick].into_iter().flatten().min()
    }
}

impl Source for Timer {
    fn now(&self) -> Tick {
        self.started.elapsed()
    }

    fn wall(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn tick(self: Arc<Self>) {
        let mut state = self.state.lock();
        self.ensure_running(&mut state);
        if state.running && state.ticking.is_none() {
            state.ticking = Some(self.now());
            self.changed.notify_one();
        }
    }
}

/// A panic of what belongs to users must not cost the timer its thread.
fn ring(alarm: &Weak<dyn Alarm>) {
    let ring = || alarm.upgrade().into_iter().for_each(Alarm::ring);
    if catch_unwind(AssertUnwindSafe(ring)).is_err() {
        tracing::error!("dropping a task panicked");
    }
}

#[cfg(all(test, not(tidings_loom)))]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Closing(Arc<Timer>);

    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    fn timer() -> (Closing, Clock) {
        let timer = Timer::new();
        let clock = timer.clock();
        (Closing(timer), clock)
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "it never came");
        }
    }

    fn asked_until_it_ticks(clock: &Clock) {
        until(|| !clock.tick().is_zero() && clock.is_ticking());
    }

    fn unasked_until_it_stops(clock: &Clock) {
        until(|| {
            thread::sleep(UNUSED);
            !clock.is_ticking()
        });
    }

    /// How old what the clock says is, by either hand.
    fn age(clock: &Clock) -> Duration {
        let (tick, wall) = (clock.tick(), clock.wall());
        let source = clock.source();
        source.now().saturating_sub(tick).max(source.wall().since(wall))
    }

    /// Whether what a hammered clock says is mostly not older than a few milliseconds, as on an
    /// unloaded machine it always is.
    fn is_near(clock: &Clock) -> bool {
        let end = Instant::now() + Duration::from_millis(100);
        let (mut near, mut looks) = (0, 0);
        while Instant::now() < end {
            (0..1000).for_each(|_| assert!(age(clock) < PATIENCE));
            near += u32::from(age(clock) < Duration::from_millis(5));
            looks += 1;
        }
        near > looks / 2
    }

    #[test]
    fn a_clock_that_is_hammered_ticks_and_is_near() {
        let (_timer, clock) = timer();
        asked_until_it_ticks(&clock);
        assert!((0..10).any(|_| is_near(&clock) && clock.is_ticking()));
    }

    #[test]
    fn a_clock_that_nobody_asks_stops_and_is_exact_when_asked_again() {
        let (_timer, clock) = timer();
        for _ in 0..3 {
            asked_until_it_ticks(&clock);
            unasked_until_it_stops(&clock);
            let before = clock.source().now();
            assert!(clock.tick() >= before);
            let before = clock.source().wall();
            assert!(clock.wall() >= before);
        }
    }

    #[test]
    fn a_clock_does_not_stand_still_while_an_alarm_takes_its_time() {
        struct Slow;
        impl Alarm for Slow {
            fn ring(self: Arc<Self>) {
                thread::sleep(Duration::from_millis(500));
            }
        }
        let (timer, clock) = timer();
        asked_until_it_ticks(&clock);
        let slow = Arc::new(Slow);
        let alarm: Weak<dyn Alarm> = Arc::<Slow>::downgrade(&slow);
        timer.0.add(clock.tick(), alarm);
        until(|| Arc::strong_count(&slow) == 2);
        assert!((0..3).any(|_| is_near(&clock)));
        until(|| clock.wall() > Timestamp::UNIX_EPOCH && clock.is_ticking());
    }

    #[test]
    fn alarms_ring_in_time_while_the_clock_ticks() {
        struct Ring(Mutex<Vec<Duration>>, Arc<Timer>, Tick);
        impl Alarm for Ring {
            fn ring(self: Arc<Self>) {
                self.0.lock().push(self.1.now().saturating_sub(self.2));
            }
        }
        let (timer, clock) = timer();
        let alarms: Vec<_> = (1..=100_u32)
            .map(|n| {
                let at = Duration::from_millis(3) * n;
                let alarm = Arc::new(Ring(Mutex::default(), Arc::clone(&timer.0), at));
                timer.0.add(at, Arc::<Ring>::downgrade(&alarm) as Weak<dyn Alarm>);
                alarm
            })
            .collect();
        until(|| age(&clock) < PATIENCE && alarms.iter().all(|alarm| !alarm.0.lock().is_empty()));
        let mut late: Vec<_> = alarms.iter().flat_map(|alarm| alarm.0.lock().clone()).collect();
        late.sort_unstable();
        assert_eq!(late.len(), 100, "each once");
        assert!(late[30] < Duration::from_millis(20), "{late:?}");
    }

    #[test]
    fn a_clock_outlives_its_timer() {
        let (timer, clock) = timer();
        asked_until_it_ticks(&clock);
        drop(timer);
        until(|| !clock.is_ticking());
        (0..10_000).for_each(|_| assert!(clock.wall() > Timestamp::UNIX_EPOCH));
        assert!(!clock.is_ticking() && age(&clock) < PATIENCE);
    }
}

/// Under `loom`, which tries every order in which threads can get on.
#[cfg(all(test, tidings_loom))]
mod models {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::runtime::{Monitor, sync::AtomicBool};

    #[derive(Default)]
    struct Bell(AtomicBool, Monitor);

    impl Alarm for Bell {
        fn ring(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
            self.1.notify();
        }
    }

    #[test]
    fn each_alarm_rings_also_where_it_is_set_while_the_timer_goes_to_sleep() {
        loom::model(|| {
            Instant::reset();
            let timer = Timer::new();
            for at in [2, 1] {
                let bell = Arc::<Bell>::default();
                let alarm = Arc::<Bell>::downgrade(&bell);
                timer.add(Tick::from_secs(at), alarm as Weak<dyn Alarm>);
                assert!(bell.1.sleep_until(None, &mut || bell.0.load(Ordering::Acquire)));
            }
            // A thread that does not end is a deadlock, and `loom` says so.
            timer.close();
        });
    }
}
