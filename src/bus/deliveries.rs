//! Pulling events: a subscription as an iterator, and as a stream.

use std::{fmt, sync::Arc, time::Duration};

use super::Subscription;
use crate::{
    delivery::{PullQueue, Unsettled},
    event::Event,
};

/// A subscription to pull from: an iterator that waits for the next event, and with feature
/// `tokio` a `Stream`. Ends when the bus or the subscription is stopped.
///
/// Dropping it stops the subscription; what was not settled comes again.
pub struct Deliveries<E: Event> {
    queue: Arc<PullQueue<E>>,
    subscription: Subscription,
}

impl<E: Event> Deliveries<E> {
    pub(super) fn new(queue: Arc<PullQueue<E>>, subscription: Subscription) -> Self {
        Self { queue, subscription }
    }

    /// The next event, or `None` if there is none within `timeout`.
    pub fn next_within(&mut self, timeout: Duration) -> Option<Unsettled<E>> {
        let runtime = self.subscription.runtime();
        self.queue.next(runtime, Some(runtime.now().saturating_add(timeout)))
    }

    /// The subscription's handle.
    #[must_use]
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

impl<E: Event> Iterator for Deliveries<E> {
    type Item = Unsettled<E>;

    fn next(&mut self) -> Option<Unsettled<E>> {
        self.queue.next(self.subscription.runtime(), None)
    }
}

#[cfg(feature = "tokio")]
impl<E: Event> futures_core::Stream for Deliveries<E> {
    type Item = Unsettled<E>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Unsettled<E>>> {
        self.queue.poll_next(cx.waker())
    }
}

impl<E: Event> Drop for Deliveries<E> {
    fn drop(&mut self) {
        self.queue.close();
        // Time for what was just acknowledged to be committed.
        self.subscription.stop(Duration::from_millis(100));
    }
}

impl<E: Event> fmt::Debug for Deliveries<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deliveries").field(&self.subscription).finish()
    }
}
