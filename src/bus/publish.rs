//! Publishing: now, later, several at once, and through a handle for one type.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{Bus, Inner};
use crate::{
    contract::NameTaken,
    delivery::Waited,
    event::Event,
    journal::{
        Draft, Enqueued, Expected, Journal, Place, Places, PublishAllError, PublishError,
        PublishFailure, Rejected, Ticket, Topic,
    },
    message::{Message, MessageId, Position, Publishable},
    runtime::in_task,
};

/// Why an event was not seen to be settled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// No subscription of that name runs.
    #[error("no subscription named `{subscription}` runs")]
    NotRunning {
        /// The subscription.
        subscription: String,
    },
    /// The subscription could not handle the event, which is among its dead letters.
    #[error(
        "`{subscription}` could not handle the event at position {position}: it is a dead letter"
    )]
    Dead {
        /// The subscription.
        subscription: String,
        /// The event.
        position: Position,
    },
    /// It was not settled in time, or the subscription was stopped meanwhile. It may still be.
    #[error("`{subscription}` is not done with the event at position {position}")]
    Open {
        /// The subscription.
        subscription: String,
        /// The event.
        position: Position,
    },
    /// It was called from inside a handler, which the subscription could wait for. Publish through the
    /// context instead, and handle what comes of it.
    #[error("a handler cannot wait for what a subscription does with an event")]
    InsideHandler,
}

/// What a publish gives back: where the event is, and which id it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The event's place in the journal.
    pub position: Position,
    /// The message's id.
    pub id: MessageId,
}

impl Receipt {
    /// Waits until a subscription is done with the event, and that is committed: to read what one has
    /// just written from a view that the subscription keeps. An event that it passes over, or does not
    /// get at all, is done with as well.
    ///
    /// Blocks the thread: async code calls it in `spawn_blocking`.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// # #[derive(Serialize, Deserialize)] struct Ping;
    /// # impl tidings::Event for Ping { const NAME: &'static str = "ping"; }
    /// # let bus = tidings::Bus::volatile();
    /// bus.subscribe("view").on(|_: &Ping| println!("the view is up to date")).start()?;
    /// bus.publish(Ping)?.settled_by(&bus, "view", Duration::from_secs(1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`SettleError`].
    pub fn settled_by(
        &self,
        bus: &Bus,
        subscription: &str,
        timeout: Duration,
    ) -> Result<(), SettleError> {
        let position = self.position;
        if in_task() {
            return Err(SettleError::InsideHandler);
        }
        let (journal, name) = (bus.journal(), subscription);
        let deadline = journal.runtime().now().saturating_add(timeout);
        let subscription = name.to_owned();
        // One that is about to run, or to be followed by another, is waited for.
        loop {
            let waited = bus.alive(name).map(|one| one.wait_settled(position, deadline));
            match waited {
                Some(Waited::Settled) => return Ok(()),
                Some(Waited::Dead) => return Err(SettleError::Dead { subscription, position }),
                _ if bus.is_starting(name) && journal.runtime().now() < deadline => {
                    let is_there = || bus.alive(name).is_some() || !bus.is_starting(name);
                    journal.runtime().wait(journal.quiet(), Some(deadline), is_there);
                }
                None if bus.alive(name).is_some() => {}
                None if !bus.is_starting(name) => {
                    return Err(SettleError::NotRunning { subscription });
                }
                Some(Waited::Open) | None => {
                    return Err(SettleError::Open { subscription, position });
                }
            }
        }
    }

    pub(super) fn of((position, id): Place) -> Self {
        Self { position, id }
    }
}

/// A publish under way: a future, which [`Pending::wait`] waits for where there is no async.
#[must_use = "a publish can fail after it was enqueued"]
pub struct Pending<E> {
    journal: Arc<Journal>,
    id: MessageId,
    answer: Answer,
    event: PhantomData<fn() -> E>,
}

/// What a [`Pending`] knows of its publish.
enum Answer {
    Awaited(Arc<Ticket>),
    Given(Receipt),
}

impl<E: Event> Pending<E> {
    /// The message's id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits until the event is as durable as the bus promises.
    ///
    /// # Errors
    /// Storage failed, or the bus was closed first. The message is handed back.
    ///
    /// # Panics
    /// It was awaited before, and failed: the message was handed back then.
    pub fn wait(self) -> Result<Receipt, PublishError<E>> {
        match &self.answer {
            Answer::Given(receipt) => Ok(*receipt),
            Answer::Awaited(ticket) => answer(self.id, self.journal.wait(ticket)),
        }
    }
}

/// After a success it may be polled again; after a failure, whose message was handed back, not.
impl<E: Event> Future for Pending<E> {
    type Output = Result<Receipt, PublishError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = match &self.answer {
            Answer::Given(receipt) => return Poll::Ready(Ok(*receipt)),
            Answer::Awaited(ticket) => ticket,
        };
        let answer = ticket.poll(cx.waker()).map(|result| answer(self.id, result));
        if let Poll::Ready(Ok(receipt)) = &answer {
            self.answer = Answer::Given(*receipt);
        }
        answer
    }
}

impl<E> fmt::Debug for Pending<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A handle that publishes one type of event, looked up once. Keeps the bus alive, as a clone does.
pub struct Publisher<E> {
    bus: Arc<Inner>,
    topic: Arc<Topic>,
    event: PhantomData<fn(E)>,
}

impl<E: Event> Publisher<E> {
    pub(super) fn new(bus: Arc<Inner>) -> Result<Self, NameTaken> {
        let topic = bus.journal.topic::<E>()?;
        Ok(Self { bus, topic, event: PhantomData })
    }

    /// See [`Bus::publish`](crate::Bus::publish).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn publish(
        &self,
        message: impl Publishable<Event = E>,
    ) -> Result<Receipt, PublishError<E>> {
        one(&self.bus.journal, &self.topic, message)
    }

    /// See [`Bus::enqueue`](crate::Bus::enqueue).
    ///
    /// # Errors
    /// As there.
    pub fn enqueue(
        &self,
        message: impl Publishable<Event = E>,
    ) -> Result<Pending<E>, PublishError<E>> {
        later(&self.bus.journal, &self.topic, message.into_message())
    }

    /// See [`Bus::publish_all`](crate::Bus::publish_all).
    ///
    /// # Errors
    /// As there.
    pub fn publish_all<P: Publishable<Event = E>>(
        &self,
        messages: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Receipt>, PublishAllError<E>> {
        let messages = messages.into_iter().map(P::into_message).collect();
        all(&self.bus.journal, &self.topic, messages)
    }

    /// Publishes several events as one, as [`publish_all`](Self::publish_all) does, and takes them out
    /// of `events`: all, or none if it fails. For hot paths, which can fill the same `events` again;
    /// nothing is allocated on a volatile bus. Returns the position of the first, which for nothing
    /// is the position that the next event will get.
    ///
    /// # Errors
    /// See [`PublishFailure`].
    pub fn publish_batch(&self, events: &mut Vec<E>) -> Result<Position, PublishFailure> {
        self.bus.journal.publish_batch(&self.topic, events)
    }
}

impl<E> Clone for Publisher<E> {
    fn clone(&self) -> Self {
        Self { bus: Arc::clone(&self.bus), topic: Arc::clone(&self.topic), event: PhantomData }
    }
}

impl<E: Event> fmt::Debug for Publisher<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Publisher").field(&E::NAME).finish()
    }
}

#[inline]
pub(super) fn one<E: Event>(
    journal: &Journal,
    topic: &Arc<Topic>,
    message: impl Publishable<Event = E>,
) -> Result<Receipt, PublishError<E>> {
    let (position, id) = journal.publish(topic, message)?;
    Ok(Receipt { position, id })
}

pub(super) fn later<E: Event>(
    journal: &Arc<Journal>,
    topic: &Arc<Topic>,
    message: Message<E>,
) -> Result<Pending<E>, PublishError<E>> {
    let (id, answer) = match journal.enqueue(topic, message)? {
        Enqueued::Done(position, id) => (id, Answer::Given(Receipt { position, id })),
        Enqueued::Waiting(ticket, id) => (id, Answer::Awaited(ticket)),
    };
    Ok(Pending { journal: Arc::clone(journal), id, answer, event: PhantomData })
}

/// Publishes one event if what is expected is so.
pub(super) fn one_if<E: Event>(
    journal: &Journal,
    topic: &Arc<Topic>,
    expected: Expected,
    message: Message<E>,
) -> Result<Receipt, PublishError<E>> {
    let draft = journal.draft_as(topic, message, None)?;
    let id = draft.envelope().id;
    answer(id, journal.publish_if(topic, expected, vec![draft]))
}

/// Publishes several events as one if what is expected is so.
pub(super) fn all_if<E: Event>(
    journal: &Journal,
    topic: &Arc<Topic>,
    expected: Expected,
    messages: Vec<Message<E>>,
) -> Result<Vec<Receipt>, PublishAllError<E>> {
    all_by(journal, topic, messages, |drafts| journal.publish_if(topic, expected, drafts))
}

pub(super) fn all<E: Event>(
    journal: &Journal,
    topic: &Arc<Topic>,
    messages: Vec<Message<E>>,
) -> Result<Vec<Receipt>, PublishAllError<E>> {
    all_by(journal, topic, messages, |drafts| journal.publish_all(drafts))
}

fn all_by<E: Event>(
    journal: &Journal,
    topic: &Arc<Topic>,
    messages: Vec<Message<E>>,
    publish: impl FnOnce(Vec<Draft>) -> Result<Places, Rejected>,
) -> Result<Vec<Receipt>, PublishAllError<E>> {
    let drafts = draft_all(journal, topic, messages)?;
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = drafts.iter().map(|draft| draft.envelope().id).collect();
    let places = publish(drafts).map_err(Rejected::into_all_error)?;
    Ok(places.of(ids.into_iter()).map(Receipt::of).collect())
}

/// All drafts, or all messages back in their order.
fn draft_all<E: Event>(
    journal: &Journal,
    topic: &Arc<Topic>,
    messages: Vec<Message<E>>,
) -> Result<Vec<Draft>, PublishAllError<E>> {
    let mut drafts = Vec::with_capacity(messages.len());
    let mut messages = messages.into_iter();
    while let Some(message) = messages.next() {
        match journal.draft_as(topic, message, None) {
            Ok(draft) => drafts.push(draft),
            Err(error) => {
                let done = Rejected { failure: PublishFailure::Closed, drafts };
                let mut back = done.into_all_error().into_messages();
                let (failure, message) = error.into_parts();
                back.push(message);
                back.extend(messages);
                return Err(PublishAllError::new(failure, back));
            }
        }
    }
    Ok(drafts)
}

fn answer<E: Event>(
    id: MessageId,
    result: Result<Places, Rejected>,
) -> Result<Receipt, PublishError<E>> {
    match result {
        Ok(places) => Ok(Receipt::of(places.of_one(id))),
        Err(rejected) => Err(rejected.into_error()),
    }
}
