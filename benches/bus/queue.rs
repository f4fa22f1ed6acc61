//! What must be there to be measured: a durable queue with one handler at its end.

use std::{path::Path, sync::Arc};

use tidings_bench::timing::Window;

use crate::{handler::Handler, order::Ordered};

pub(crate) trait Queue {
    /// Publishes one event, and waits until it is stored.
    fn publish(&self, order: Ordered);

    /// Publishes what `next` gives, with so many on their way, until the window has ended and all
    /// are stored.
    fn pipeline(&self, in_flight: usize, window: Window, next: &mut dyn FnMut() -> Ordered);

    /// Waits until so many events are handled and the cursor is kept.
    fn settle(&self, events: u64);
}

/// Who takes part, and how it is opened on an empty directory.
pub(crate) struct Participant {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Path, Arc<Handler>) -> Box<dyn Queue>,
}
