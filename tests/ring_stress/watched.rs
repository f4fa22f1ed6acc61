//! Subscriptions under watch: each handles every event once, and those of a publisher in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tidings::{Bus, Context, HandlerError, Overflow, Subscription};

use crate::{
    MINUTE,
    numbered::{Counts, Letter, Numbered, Numbers, Order, PUBLISHERS, Parcel},
};

/// How far the publishers are: with publishes that have begun, and with those that are done.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) begun: Counts,
    pub(crate) done: Counts,
}

/// What a subscription has handled.
#[derive(Default)]
struct Handled {
    /// One more than the number of the first event, and of the last.
    first: Counts,
    last: Counts,
    count: AtomicU64,
    /// How often some were left out.
    gaps: AtomicU64,
    /// How often one came twice, or after a later one.
    wrong: AtomicU64,
    /// Whether it takes its time now and then, and has the ring run full.
    naps: bool,
}

impl Handled {
    fn new(naps: bool) -> Arc<Self> {
        Arc::new(Self { naps, ..Self::default() })
    }

    fn handle<E: Numbered>(&self, event: &E) {
        let (publisher, one_more) = (event.publisher(), event.number() + 1);
        self.count.fetch_add(1, Ordering::SeqCst);
        match self.last.of(publisher, E::TYPE).swap(one_more, Ordering::SeqCst) {
            0 => self.first.of(publisher, E::TYPE).store(one_more, Ordering::SeqCst),
            last if last >= one_more => drop(self.wrong.fetch_add(1, Ordering::SeqCst)),
            last if last + 1 < one_more => drop(self.gaps.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        if self.naps && event.number().is_multiple_of(NAP) {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn count(&self) -> u64 {
        assert_eq!(self.wrong.load(Ordering::SeqCst), 0);
        self.count.load(Ordering::SeqCst)
    }
}

/// After how many events of a publisher a slow subscription takes a nap.
const NAP: u64 = 5000;

/// A subscription under watch, from before it starts to after it has stopped.
pub(crate) struct Watched {
    subscription: Subscription,
    handled: Arc<Handled>,
    types: Vec<usize>,
    done_before: Numbers,
    begun_at_start: Numbers,
}

impl Watched {
    pub(crate) fn start(bus: &Bus, progress: &Progress, name: &str, variant: u64) -> Self {
        let handled = Handled::new(variant % 5 == 4);
        let done_before = progress.done.numbers();
        let builder = bus.subscribe(name).lanes([1, 1, 3, 8][(variant / 4 % 4) as usize]);
        let seen = || Arc::clone(&handled);
        let (one, two, three) = (seen(), seen(), seen());
        let (builder, types) = match variant % 4 {
            0 => (builder.on(move |event: &Order| one.handle(event)), vec![0]),
            1 => (builder.on(move |event: &Parcel| one.handle(event)), vec![1]),
            2 => {
                let with_context = move |event: &Letter, _: &mut Context| {
                    one.handle(event);
                    Ok::<_, HandlerError>(())
                };
                (builder.on(with_context), vec![2])
            }
            _ => {
                let builder = builder
                    .on(move |event: &Order| one.handle(event))
                    .on(move |event: &Parcel| two.handle(event))
                    .on(move |event: &Letter| three.handle(event));
                (builder, vec![0, 1, 2])
            }
        };
        let subscription = builder.start().unwrap();
        let begun_at_start = progress.begun.numbers();
        Self { subscription, handled, types, done_before, begun_at_start }
    }

    /// Stops it. Returns how many events it has handled.
    pub(crate) fn stop(self, progress: &Progress) -> u64 {
        // What was published before is handled: the bus is idle, or the handlers are awaited.
        let done = progress.done.numbers();
        let owed = |publisher: usize, event: usize| {
            let first = self.begun_at_start[publisher][event];
            done[publisher][event] > first
                && self.handled.last.of(publisher, event).load(Ordering::SeqCst)
                    < done[publisher][event]
        };
        let everything = || {
            (0..PUBLISHERS).flat_map(|publisher| self.types.iter().map(move |at| (publisher, *at)))
        };
        let deadline = Instant::now() + 10 * MINUTE;
        while everything().any(|(publisher, event)| owed(publisher, event)) {
            assert!(Instant::now() < deadline, "an event does not come");
            thread::sleep(Duration::from_micros(200));
        }
        assert!(self.subscription.stop(MINUTE));
        let begun = progress.begun.numbers();
        let (first, last) = (self.handled.first.numbers(), self.handled.last.numbers());
        assert_eq!(self.handled.gaps.load(Ordering::SeqCst), 0);
        for (publisher, event) in everything() {
            let at = |numbers: &Numbers| numbers[publisher][event];
            if at(&last) == 0 {
                continue;
            }
            assert!(at(&first) > at(&self.done_before), "an event from before the start");
            assert!(at(&first) <= at(&self.begun_at_start) + 1, "an event is missing");
            assert!(at(&last) <= at(&begun), "an event that was not published");
        }
        let run = |(publisher, event): (usize, usize)| match last[publisher][event] {
            0 => 0,
            last => last + 1 - first[publisher][event],
        };
        let count = self.handled.count();
        assert_eq!(count, everything().map(run).sum::<u64>());
        count
    }
}

/// A subscription that misses events where it is too slow.
pub(crate) struct Skipping {
    subscription: Subscription,
    handled: Arc<Handled>,
}

impl Skipping {
    pub(crate) fn start(bus: &Bus) -> Self {
        let handled = Handled::new(true);
        let seen = Arc::clone(&handled);
        let builder = bus.subscribe("skipping").on_lag(Overflow::Skip);
        let subscription = builder.on(move |event: &Order| seen.handle(event)).start().unwrap();
        Self { subscription, handled }
    }

    /// How many events it has handled, and how many it has missed.
    pub(crate) fn stop(self) -> (u64, u64) {
        let missed = self.subscription.status().skipped;
        assert!(self.subscription.stop(MINUTE));
        (self.handled.count(), missed)
    }
}
