//! Handing answers to whoever asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    task::{Poll, Waker},
};

use parking_lot::Mutex;

use super::{Context, Run};
use crate::{
    event::Event,
    journal::CellRef,
    message::MessageId,
    runtime::{Monitor, Runtime, Tick},
};

/// Who waits for answers of one type, by the message that asked.
#[derive(Default)]
pub(crate) struct Replies {
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    by_question: BTreeMap<MessageId, Arc<Slot>>,
    closed: bool,
}

/// Where an answer is put.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    changed: Monitor,
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// How a question ended.
pub(crate) enum Answer {
    /// With an event of this id.
    Event(CellRef, MessageId),
    /// Nobody listens any more.
    Closed,
}

impl Slot {
    fn put(&self, answer: Answer) {
        let mut state = self.state.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Replies {
    /// A handler that gives events to whoever asked for them.
    pub(crate) fn feeder<A: Event>(self: &Arc<Self>) -> Run {
        let replies = Arc::downgrade(self);
        Run::called::<A>(move |event, ctx| Self::answer(&replies, event, ctx))
    }

    fn answer(replies: &Weak<Self>, event: &CellRef, ctx: &Context) {
        let (Some(replies), Some(question)) = (replies.upgrade(), ctx.causation_id()) else {
            return;
        };
        let slot = replies.state.lock().by_question.remove(&question);
        if let Some(slot) = slot {
            slot.put(Answer::Event(event.clone(), ctx.id()));
        }
    }

    /// Waits for the answer to a message that is about to be published.
    pub(crate) fn expect(self: &Arc<Self>, question: MessageId) -> Expected {
        let slot = Arc::new(Slot::default());
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            slot.put(Answer::Closed);
        } else {
            state.by_question.insert(question, Arc::clone(&slot));
        }
        Expected { replies: Arc::clone(self), question, slot }
    }

    /// No more answers will come.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let slots = std::mem::take(&mut state.by_question);
        drop(state);
        for slot in slots.values() {
            slot.put(Answer::Closed);
        }
    }
}

/// An answer that is still to come. Dropped, it is waited for no longer.
pub(crate) struct Expected {
    replies: Arc<Replies>,
    question: MessageId,
    slot: Arc<Slot>,
}

impl Expected {
    /// The answer, if it comes before the deadline.
    pub(crate) fn wait(&self, runtime: &Runtime, deadline: Tick) -> Option<Answer> {
        let is_there = || self.slot.state.lock().answer.is_some();
        runtime.wait(&self.slot.changed, Some(deadline), is_there);
        self.slot.state.lock().answer.take()
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Answer> {
        let mut state = self.slot.state.lock();
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        state.waker = Some(waker.clone());
        Poll::Pending
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let slot = self.replies.state.lock().by_question.remove(&self.question);
        drop(slot);
    }
}
