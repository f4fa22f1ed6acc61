//! A queue as a careful user makes it on an embedded store: one thread that commits everything
//! queued in one synced transaction, and one that is told, reads on, handles, and keeps its cursor.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use tidings_bench::{
    Answer, Batcher,
    timing::{Window, keep_in_flight},
};

use crate::{handler::Handler, order::Ordered, progress::Progress, queue::Queue};

/// What the queue needs of the store. Events are numbered from 0.
pub(crate) trait Store: Send + Sync + 'static {
    /// Appends events from this number on, synced.
    fn append(&self, first: u64, payloads: &[&[u8]]);

    /// Reads the events from one number up to another.
    fn read(&self, from: u64, to: u64, visit: &mut dyn FnMut(&[u8]));

    /// Keeps the number of the next event to be handled. It need not be synced.
    fn keep_cursor(&self, next: u64);
}

/// The most events that are read at once.
const CHUNK: u64 = 1024;

pub(crate) struct HandMade {
    batcher: Option<Batcher>,
    stored: Arc<Progress>,
    kept: Arc<Progress>,
    consumer: Option<JoinHandle<()>>,
}

impl HandMade {
    pub(crate) fn around(store: impl Store, handler: Arc<Handler>) -> Self {
        let store = Arc::new(store);
        let (stored, kept) = (Arc::<Progress>::default(), Arc::<Progress>::default());
        let batcher = {
            let (store, stored) = (Arc::clone(&store), Arc::clone(&stored));
            let mut end = 0;
            Batcher::around(move |payloads| {
                store.append(end, payloads);
                end += payloads.len() as u64;
                stored.reach(end);
            })
        };
        let consumer = {
            let (stored, kept) = (Arc::clone(&stored), Arc::clone(&kept));
            thread::spawn(move || consume(&*store, &handler, &stored, &kept))
        };
        Self { batcher: Some(batcher), stored, kept, consumer: Some(consumer) }
    }

    fn begin(&self, order: &Ordered) -> Arc<Answer> {
        self.batcher.as_ref().unwrap().begin(order.encode())
    }
}

fn consume(store: &impl Store, handler: &Handler, stored: &Progress, kept: &Progress) {
    let mut next = 0;
    loop {
        let end = stored.wait_beyond(next);
        if end == Progress::END {
            return;
        }
        while next < end {
            let to = end.min(next + CHUNK);
            store.read(next, to, &mut |payload| handler.handle(&Ordered::decode(payload)));
            store.keep_cursor(to);
            kept.reach(to);
            next = to;
        }
    }
}

impl Queue for HandMade {
    fn publish(&self, order: Ordered) {
        self.begin(&order).wait();
    }

    fn pipeline(&self, in_flight: usize, window: Window, next: &mut dyn FnMut() -> Ordered) {
        keep_in_flight(in_flight, window, |_| self.begin(&next()), |answer| answer.wait());
    }

    fn settle(&self, events: u64) {
        self.kept.wait_beyond(events - 1);
    }
}

impl Drop for HandMade {
    fn drop(&mut self) {
        self.batcher = None;
        self.stored.reach(Progress::END);
        self.consumer.take().unwrap().join().unwrap();
    }
}
