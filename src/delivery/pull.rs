//! Events that are pulled instead of pushed.

use std::{
    collections::VecDeque,
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    task::Waker,
};

use parking_lot::Mutex;

use super::{Context, Delivery, HandlerError, Run, started::Completion};
use crate::{
    error::BoxError,
    event::Event,
    journal::CellRef,
    runtime::{Monitor, Runtime, Tick},
};

/// A pulled event that waits for its verdict. Derefs to the [`Delivery`].
///
/// Dropping it undecided counts as a failed attempt.
#[must_use = "an event is handled again unless it is acknowledged"]
pub struct Unsettled<E> {
    delivery: Delivery<E>,
    /// `None` once it is settled.
    completion: Option<Completion>,
}

impl<E: Event> Unsettled<E> {
    fn new(event: CellRef, context: Context, completion: Completion) -> Option<Self> {
        match Delivery::new(event, context) {
            Ok((delivery, _)) => Some(Self { delivery, completion: Some(completion) }),
            Err(error) => {
                completion.finish(Err(error));
                None
            }
        }
    }

    /// The event is handled: commits what was published and stored through the delivery, together
    /// with the acknowledgement.
    ///
    /// Once the [`Deliveries`](crate::Deliveries) are dropped it is too late: the event comes again.
    pub fn ack(mut self) {
        self.settle(Ok(()));
    }

    /// The attempt failed: the event comes again by the subscription's policy, or as the error says.
    pub fn retry(mut self, error: impl Into<HandlerError>) {
        self.settle(Err(error.into()));
    }

    /// The event goes to the dead letters.
    pub fn reject(mut self, error: impl Into<BoxError>) {
        self.settle(Err(HandlerError::reject(error)));
    }
}

impl<E> Unsettled<E> {
    /// Its time runs from now on.
    fn begin(self) -> Self {
        if let Some(completion) = &self.completion {
            completion.begin();
        }
        self
    }

    fn settle(&mut self, result: Result<(), HandlerError>) {
        if let Some(completion) = self.completion.take() {
            completion.finish(self.delivery.take_staged().ended(result));
        }
    }

    /// Nobody has seen it: it comes again, and this was no attempt.
    fn give_back(mut self) {
        self.completion = None;
    }
}

impl<E> Drop for Unsettled<E> {
    fn drop(&mut self) {
        self.settle(Err(HandlerError::retry("the event was dropped before it was settled")));
    }
}

impl<E> Deref for Unsettled<E> {
    type Target = Delivery<E>;

    fn deref(&self) -> &Delivery<E> {
        &self.delivery
    }
}

impl<E> DerefMut for Unsettled<E> {
    fn deref_mut(&mut self) -> &mut Delivery<E> {
        &mut self.delivery
    }
}

impl<E: fmt::Debug> fmt::Debug for Unsettled<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unsettled").field(&self.delivery).finish()
    }
}

/// Between the lanes of a subscription and whoever pulls. Bounded by what the lanes may have in
/// flight.
pub(crate) struct PullQueue<E> {
    state: Mutex<Queue<E>>,
    changed: Monitor,
}

struct Queue<E> {
    ready: VecDeque<Unsettled<E>>,
    closed: bool,
    waker: Option<Waker>,
}

impl<E: Event> PullQueue<E> {
    pub(crate) fn new() -> Arc<Self> {
        let queue = Queue { ready: VecDeque::new(), closed: false, waker: None };
        Arc::new(Self { state: Mutex::new(queue), changed: Monitor::default() })
    }

    /// A handler that puts events here.
    pub(crate) fn feeder(self: &Arc<Self>) -> Run {
        let queue = Arc::clone(self);
        Run::started::<E>(move |event, context, completion| {
            if let Some(event) = Unsettled::new(event, context, completion) {
                queue.push(event);
            }
        })
    }

    fn push(&self, event: Unsettled<E>) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return event.give_back();
        }
        state.ready.push_back(event);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the pulling. What was not pulled yet comes again another time.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let unpulled = std::mem::take(&mut state.ready);
        let waker = state.waker.take();
        drop(state);
        unpulled.into_iter().for_each(Unsettled::give_back);
        self.changed.notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn next(&self, runtime: &Runtime, deadline: Option<Tick>) -> Option<Unsettled<E>> {
        runtime.wait(&self.changed, deadline, || {
            let state = self.state.lock();
            state.closed || !state.ready.is_empty()
        });
        let pulled = self.state.lock().ready.pop_front();
        pulled.map(Unsettled::begin)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&self, waker: &Waker) -> std::task::Poll<Option<Unsettled<E>>> {
        use std::task::Poll;

        let mut state = self.state.lock();
        if let Some(event) = state.ready.pop_front() {
            drop(state);
            return Poll::Ready(Some(event.begin()));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }
}
