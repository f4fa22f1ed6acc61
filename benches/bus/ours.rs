//! tidings: a durable bus with one subscription.

use std::{path::Path, sync::Arc, time::Duration};

use tidings::{Bus, Durability, Publisher};
use tidings_bench::timing::{Window, keep_in_flight};

use crate::{handler::Handler, order::Ordered, queue::Queue};

pub(crate) struct Ours {
    bus: Bus,
    publisher: Publisher<Ordered>,
}

impl Ours {
    pub(crate) fn open(dir: &Path, handler: Arc<Handler>) -> Self {
        let bus = Bus::builder().durability(Durability::Synced).open(dir).unwrap();
        bus.subscribe("reader").on(move |order: &Ordered| handler.handle(order)).start().unwrap();
        let publisher = bus.publisher().unwrap();
        Self { bus, publisher }
    }
}

impl Queue for Ours {
    fn publish(&self, order: Ordered) {
        self.publisher.publish(order).unwrap();
    }

    fn pipeline(&self, in_flight: usize, window: Window, next: &mut dyn FnMut() -> Ordered) {
        let begin = |_| self.publisher.enqueue(next()).unwrap();
        keep_in_flight(in_flight, window, begin, |pending| {
            pending.wait().unwrap();
        });
    }

    /// A subscription is idle once its cursor is committed.
    fn settle(&self, _: u64) {
        assert!(self.bus.wait_idle(Duration::from_mins(1)));
    }
}
