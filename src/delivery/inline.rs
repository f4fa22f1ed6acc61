//! Handlers that are called where events are published.
//!
//! What such a handler cannot handle (it failed, or the subscription is paused) goes to a lane of its
//! subscription, by a kind of its own in the ring, and is retried there as any other event.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{Handler, HandlerError, Subscriber, attempt::panicked};
use crate::{
    contract::EventType,
    event::Event,
    journal::{Entry, GroupId, Inline, OnThread, Ring, Route, Topic, Unhandled},
    message::MessageId,
};

/// A plain handler with its event type erased, to be called where its events are published.
pub(super) trait Attach: Send + Sync {
    /// Has it called from now on, until the topic is told otherwise.
    fn attach(&self, subscriber: &Arc<Subscriber>, route: Arc<Route>) -> Option<Arc<Topic>>;
}

pub(super) fn erase<E: Event>(handler: Arc<impl Handler<E>>) -> Box<dyn Attach> {
    Box::new(Typed { handler, event: std::marker::PhantomData::<fn(E)> })
}

/// The name of the kind of events that a subscription's inline handler could not handle.
pub(super) fn detour(subscription: &str, event: &EventType) -> Arc<str> {
    format!("{} unhandled by {subscription}", event.name).into()
}

struct Typed<E, H> {
    handler: Arc<H>,
    event: std::marker::PhantomData<fn(E)>,
}

impl<E: Event, H: Handler<E>> Attach for Typed<E, H> {
    fn attach(&self, subscriber: &Arc<Subscriber>, route: Arc<Route>) -> Option<Arc<Topic>> {
        let topic = subscriber.journal.topic::<E>().ok()?;
        let handler = Arc::new(Shared {
            handler: Arc::clone(&self.handler),
            subscriber: Arc::downgrade(subscriber),
            side: Arc::clone(subscriber.inline.as_ref()?),
            route,
        });
        topic.add_inline::<E>(handler.side.id, Arc::clone(&handler) as Arc<dyn Inline<E>>);
        Some(topic)
    }
}

/// What a subscription knows of its inline handlers.
pub(super) struct InlineSide {
    /// By which topics know it.
    id: GroupId,
    topics: Mutex<Vec<Arc<Topic>>>,
    /// Why events that are on their way to a lane have failed. The oldest first, as ids go.
    failures: Mutex<BTreeMap<MessageId, HandlerError>>,
    /// So many events can be on their way. Where more are noted, some were refused or skipped.
    most: usize,
    tally: Mutex<Tally>,
}

/// How many events were handled: each thread counts its own.
#[derive(Default)]
struct Tally {
    threads: Vec<Arc<Count>>,
    /// By threads that have given their copies back.
    before: u64,
}

/// Written by one thread alone, so in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Count {
    #[inline]
    fn add_one(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl InlineSide {
    pub(super) fn new(ring: &Ring) -> Arc<Self> {
        let (topics, failures, tally) = Default::default();
        Arc::new(Self { id: ring.new_group(), topics, failures, most: ring.capacity(), tally })
    }

    pub(super) fn attached(&self, topics: Vec<Arc<Topic>>) {
        *self.topics.lock() = topics;
    }

    /// Has every thread see whether the subscription is paused.
    pub(super) fn renew(&self) {
        for topic in &*self.topics.lock() {
            topic.renew_inline();
        }
    }

    /// No handler is called any more.
    pub(super) fn detach(&self) {
        let topics = std::mem::take(&mut *self.topics.lock());
        for topic in topics {
            topic.remove_inline(self.id);
        }
    }

    fn note_failure(&self, id: MessageId, error: HandlerError) {
        let mut failures = self.failures.lock();
        failures.insert(id, error);
        if failures.len() > self.most {
            failures.pop_first();
        }
    }

    /// Why an event that comes to a lane has failed already, if it has.
    pub(super) fn failure(&self, entry: &Entry) -> Option<HandlerError> {
        self.failures.lock().remove(&entry.envelope.id)
    }

    pub(super) fn handled(&self) -> u64 {
        let tally = self.tally.lock();
        let threads = tally.threads.iter().map(|count| count.get());
        tally.before + threads.sum::<u64>()
    }

    fn new_count(&self) -> Arc<Count> {
        let count = Arc::default();
        self.tally.lock().threads.push(Arc::clone(&count));
        count
    }

    fn end_count(&self, count: &Arc<Count>) {
        let mut tally = self.tally.lock();
        tally.threads.retain(|other| !Arc::ptr_eq(other, count));
        tally.before += count.get();
    }
}

struct Shared<H> {
    handler: Arc<H>,
    /// Weak: what the topic has of a subscription keeps nothing of it alive but the handler.
    subscriber: Weak<Subscriber>,
    side: Arc<InlineSide>,
    route: Arc<Route>,
}

struct Copied<H> {
    handler: Arc<H>,
    handled: Arc<Count>,
    is_paused: bool,
    shared: Arc<Shared<H>>,
}

impl<E: Event, H: Handler<E>> Inline<E> for Shared<H> {
    fn copy(self: Arc<Self>) -> Box<dyn OnThread<E>> {
        let is_paused = self.subscriber.upgrade().is_none_or(|subscriber| subscriber.is_paused());
        let handler = Arc::clone(&self.handler);
        Box::new(Copied { handler, handled: self.side.new_count(), is_paused, shared: self })
    }
}

impl<H> Shared<H> {
    #[cold]
    fn unhandled(&self, error: Option<HandlerError>) -> Unhandled {
        let side = Arc::clone(&self.side);
        Unhandled::new(Arc::clone(&self.route), move |id| {
            if let Some(error) = error {
                side.note_failure(id, error);
            }
        })
    }
}

impl<E: Event, H: Handler<E>> OnThread<E> for Copied<H> {
    #[inline]
    fn handle(&self, event: &E) -> Result<(), Unhandled> {
        if self.is_paused {
            return Err(self.shared.unhandled(None));
        }
        if let Err(error) = self.handler.handle_plain(event) {
            return Err(self.shared.unhandled(Some(error)));
        }
        self.handled.add_one();
        Ok(())
    }

    fn panicked(&self, panic: Box<dyn Any + Send>) -> Unhandled {
        self.shared.unhandled(Some(panicked(panic.as_ref())))
    }
}

impl<H> Drop for Copied<H> {
    fn drop(&mut self) {
        self.shared.side.end_count(&self.handled);
    }
}
