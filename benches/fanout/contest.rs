//! A run: so many publishers, so many subscribers, so many events.

use std::{
    ops::Range,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use crate::{event::BATCH, tally::Tally};

/// What a run is to do.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// A multiple of what all publishers publish with one batch each.
    pub(crate) events: u64,
}

/// Brings the events of a load from publishers to subscribers, and returns when all is over.
pub(crate) type Run = fn(&Load, &Arc<Tally>);

pub(crate) struct Participant {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

/// How long a run took, in which nothing was lost.
pub(crate) fn measure(run: Run, load: &Load) -> Duration {
    let tally = Tally::new(load);
    run(load, &tally);
    tally.taken()
}

impl Load {
    /// Runs a thread for each publisher, which publishes the events of these numbers.
    pub(crate) fn publish<P>(&self, tally: &Tally, publishers: impl IntoIterator<Item = P>)
    where
        P: FnOnce(Range<u64>) + Send,
    {
        let ready = Barrier::new(self.publishers);
        thread::scope(|scope| {
            for (publish, numbers) in publishers.into_iter().zip(self.parts()) {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    tally.begin();
                    publish(numbers);
                });
            }
        });
    }

    /// What each publisher publishes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Range<u64>> {
        let part = self.events / self.publishers as u64;
        (0..self.publishers as u64).map(move |at| at * part..(at + 1) * part)
    }
}

/// The numbers in batches.
pub(crate) fn batches(numbers: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = numbers.end;
    numbers.step_by(usize::try_from(BATCH).unwrap()).map(move |first| first..end.min(first + BATCH))
}
