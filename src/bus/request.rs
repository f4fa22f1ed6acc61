//! Asking, and waiting for the answer.

use std::{
    any::TypeId,
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{Inner, SubscribeError, SubscriptionBuilder};
use crate::{
    delivery::{Answer, Expected, Replies},
    event::Event,
    journal::{Draft, Journal, PublishFailure, Rejected, Shared, Ticket, Topic},
    message::{Message, MessageId, Publishable},
    policy::Start,
    runtime::in_task,
};

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFailure {
    /// No running subscription has a handler for the question, so that nobody would answer.
    #[error("nobody handles it")]
    Unhandled,
    /// The question could not be published.
    #[error(transparent)]
    Publish(#[from] PublishFailure),
    /// Answers of this type cannot be listened for.
    #[error("its answers cannot be listened for: {0}")]
    Subscribe(#[from] SubscribeError),
    /// It was called from inside a handler, which would keep its lane waiting. Publish the question
    /// through the context, and handle the answer; or ask with [`Bus::ask`](crate::Bus::ask) and await.
    #[error("a handler cannot wait for an answer")]
    InsideHandler,
    /// No answer came in time. The question is published, and may still be handled.
    #[error("no answer came within {0:?}")]
    Timeout(Duration),
    /// The bus was shut down before an answer came. The question is published.
    #[error("the bus was shut down before an answer came")]
    Closed,
}

/// A question that got no answer, with the message handed back if it was not published.
pub struct RequestError<Q> {
    failure: RequestFailure,
    message: Option<Box<Message<Q>>>,
}

impl<Q: Event> RequestError<Q> {
    pub(super) fn unpublished(failure: impl Into<RequestFailure>, message: Message<Q>) -> Self {
        Self { failure: failure.into(), message: Some(Box::new(message)) }
    }

    fn published(failure: RequestFailure) -> Self {
        Self { failure, message: None }
    }

    fn rejected(rejected: Rejected) -> Self {
        let (failure, message) = rejected.into_error().into_parts();
        Self::unpublished(failure, message)
    }

    /// Why there is no answer.
    #[must_use]
    pub fn failure(&self) -> &RequestFailure {
        &self.failure
    }

    /// Takes the message. `None` if it was published.
    #[must_use]
    pub fn into_message(self) -> Option<Message<Q>> {
        self.message.map(|message| *message)
    }
}

impl<Q: Event> fmt::Display for RequestError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asking `{}` failed: {}", Q::NAME, self.failure)
    }
}

impl<Q> fmt::Debug for RequestError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestError").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl<Q: Event> std::error::Error for RequestError<Q> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failure)
    }
}

/// The answer to a question. Derefs to the event, which it shares with subscriptions.
pub struct Reply<A> {
    event: Shared<A>,
    id: MessageId,
}

impl<A> Reply<A> {
    /// The message's id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }
}

impl<A> Deref for Reply<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.event
    }
}

impl<A: fmt::Debug> fmt::Debug for Reply<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("id", &self.id).field("event", &self.event).finish()
    }
}

/// A question that was asked: a future of its answer. Dropped, the answer is not waited for.
#[must_use = "nobody waits for the answer unless it is awaited"]
pub struct Asked<Q, A> {
    journal: Arc<Journal>,
    /// The publish of the question, until it is known to have succeeded.
    published: Option<Arc<Ticket>>,
    expected: Expected,
    types: std::marker::PhantomData<fn() -> (Q, A)>,
}

impl<Q: Event, A: Event> Asked<Q, A> {
    /// Waits for the answer.
    ///
    /// # Errors
    /// See [`RequestFailure`].
    pub fn wait(self, timeout: Duration) -> Result<Reply<A>, RequestError<Q>> {
        if in_task() {
            return Err(RequestError::published(RequestFailure::InsideHandler));
        }
        let runtime = self.journal.runtime();
        let deadline = runtime.now().saturating_add(timeout);
        if let Some(ticket) = &self.published {
            self.journal.wait(ticket).map_err(RequestError::rejected)?;
        }
        match self.expected.wait(runtime, deadline) {
            Some(answer) => reply(answer),
            None => Err(RequestError::published(RequestFailure::Timeout(timeout))),
        }
    }
}

impl<Q: Event, A: Event> Future for Asked<Q, A> {
    type Output = Result<Reply<A>, RequestError<Q>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(ticket) = &self.published
            && let Poll::Ready(published) = ticket.poll(cx.waker())
        {
            if let Err(rejected) = published {
                return Poll::Ready(Err(RequestError::rejected(rejected)));
            }
            self.published = None;
        }
        self.expected.poll(cx.waker()).map(reply)
    }
}

impl<Q, A> fmt::Debug for Asked<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

fn reply<Q: Event, A: Event>(answer: Answer) -> Result<Reply<A>, RequestError<Q>> {
    let closed = || RequestError::published(RequestFailure::Closed);
    match answer {
        Answer::Event(event, id) => {
            let event = Shared::new(event).ok_or_else(closed)?;
            Ok(Reply { event, id })
        }
        Answer::Closed => Err(closed()),
    }
}

/// How a question is published. What is not done at once has a ticket.
type Publish = fn(&Journal, Draft) -> Result<Option<Arc<Ticket>>, Rejected>;

/// Publishes a question as [`Bus::publish`](crate::Bus::publish) does.
pub(super) fn now(journal: &Journal, question: Draft) -> Result<Option<Arc<Ticket>>, Rejected> {
    journal.publish_all(vec![question]).map(|_| None)
}

/// Publishes a question as [`Bus::enqueue`](crate::Bus::enqueue) does.
pub(super) fn later(journal: &Journal, question: Draft) -> Result<Option<Arc<Ticket>>, Rejected> {
    journal.enqueue_draft(question)
}

pub(super) fn ask<Q: Publishable, A: Event>(
    bus: &Arc<Inner>,
    question: Q,
    publish: Publish,
) -> Result<Asked<Q::Event, A>, RequestError<Q::Event>> {
    let message = question.into_message();
    let topic = match bus.journal.topic::<Q::Event>() {
        Ok(topic) => topic,
        Err(taken) => {
            return Err(RequestError::unpublished(PublishFailure::from(taken), message));
        }
    };
    if !topic.route.is_wanted() && topic.route.inline() == 0 {
        return Err(RequestError::unpublished(RequestFailure::Unhandled, message));
    }
    match replies::<A>(bus) {
        Ok(replies) => ask_with(&bus.journal, &topic, message, (&replies, publish)),
        Err(failure) => Err(RequestError::unpublished(failure, message)),
    }
}

fn ask_with<Q: Event, A: Event>(
    journal: &Arc<Journal>,
    topic: &Arc<Topic>,
    message: Message<Q>,
    (replies, publish): (&Arc<Replies>, Publish),
) -> Result<Asked<Q, A>, RequestError<Q>> {
    let draft = journal.draft_as(topic, message, None).map_err(|error| {
        let (failure, message) = error.into_parts();
        RequestError::unpublished(failure, message)
    })?;
    // Before it is published: the answer may be there before this returns.
    let expected = replies.expect(draft.envelope().id);
    let published = publish(journal, draft).map_err(RequestError::rejected)?;
    let (journal, types) = (Arc::clone(journal), std::marker::PhantomData);
    Ok(Asked { journal, published, expected, types })
}

/// Who waits for answers of a type. The first time, a subscription of its own begins to listen.
fn replies<A: Event>(bus: &Arc<Inner>) -> Result<Arc<Replies>, SubscribeError> {
    loop {
        if let Some(replies) = bus.replies.lock().get(&TypeId::of::<A>()) {
            return Ok(Arc::clone(replies));
        }
        match listen::<A>(bus) {
            // Another thread does that.
            Err(SubscribeError::DuplicateName { .. }) => bus.journal.runtime().yield_now(),
            started => return started,
        }
    }
}

fn listen<A: Event>(bus: &Arc<Inner>) -> Result<Arc<Replies>, SubscribeError> {
    let replies = Arc::new(Replies::default());
    let name = format!("replies {}", A::NAME); // no user can name it so
    let builder = SubscriptionBuilder::new(Arc::clone(bus), &name);
    let closing = Arc::clone(&replies);
    let builder = builder.ephemeral().start_at(Start::Latest);
    builder.start_own::<A>(replies.feeder::<A>(), Box::new(move || closing.close()))?;
    bus.replies.lock().insert(TypeId::of::<A>(), Arc::clone(&replies));
    Ok(replies)
}
