//! Events that undo steps: when they are done, and how often they are tried.

use std::{any::Any, marker::PhantomData, sync::Arc, time::Duration};

use super::{Define, Elsewhere, EventKind, Saga};
use crate::{
    event::Event,
    policy::Backoff,
    saga::outgoing::{self, Outgoing},
};

/// What happens with the remaining compensations when one has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnCompensationFailure {
    /// They wait until an operator has decided. The default.
    #[default]
    Halt,
    /// They are done all the same; then an operator has to decide about the failed one.
    CompensateRest,
}

/// An event that undoes a step.
pub(in crate::saga) struct CompensationKind {
    pub(in crate::saga) restore: Restore,
    /// Without one it is done when it is sent.
    pub(in crate::saga) answer: Option<Answer>,
    pub(in crate::saga) retry: Backoff,
}

/// Makes an event of its bytes.
type Restore = fn(&[u8]) -> Result<Box<dyn Outgoing>, String>;

/// Tells by which events a compensation is done.
pub(in crate::saga) struct Answer {
    pub(in crate::saga) event: &'static str,
    pub(in crate::saga) is_for: IsFor,
}

/// Whether an event answers a compensation, of which these are the bytes.
type IsFor = Arc<dyn Fn(&[u8], &dyn Any) -> bool + Send + Sync>;

/// How long an answer is waited for, and how often it is asked for again.
const PATIENCE: Backoff =
    Backoff::exponential(Duration::from_secs(1)).max_delay(Duration::from_mins(5)).max_attempts(10);

impl CompensationKind {
    pub(super) fn of<E: Event>() -> Self {
        Self { restore: restore::<E>, answer: None, retry: PATIENCE }
    }
}

fn restore<E: Event>(bytes: &[u8]) -> Result<Box<dyn Outgoing>, String> {
    let event = E::codec().decode(bytes).map_err(|error| error.to_string())?;
    Ok(outgoing::erase(event))
}

/// When an event that undoes a step is done, and how often it is tried; see [`Define::compensation`].
#[allow(missing_debug_implementations)] // it is made of closures
pub struct CompensationDefinition<'d, S: Saga, C> {
    pub(super) define: &'d mut Define<S>,
    pub(super) event: PhantomData<fn() -> C>,
}

#[allow(clippy::return_self_not_must_use, clippy::must_use_candidate)] // each call has its effect
impl<S: Saga, C: Event> CompensationDefinition<'_, S, C> {
    /// It is done once this event has come, of which the function says whether it is about this
    /// compensation: there may be several, and each may be asked for more than once. Without it, a
    /// compensation is done when it is sent.
    pub fn undone_by<A: Event>(
        self,
        is_for: impl Fn(&C, &A) -> bool + Send + Sync + 'static,
    ) -> Self {
        let is_for: IsFor = Arc::new(move |bytes, answer| {
            let undo = C::codec().decode(bytes).ok();
            undo.zip(answer.downcast_ref::<A>()).is_some_and(|(undo, done)| is_for(&undo, done))
        });
        let kind = self.define.events.entry(A::NAME).or_insert_with(EventKind::of::<A>);
        // In a state in which nothing is undone it is an answer to nobody.
        kind.elsewhere.get_or_insert(Elsewhere::Ignore);
        self.change(|kind| kind.answer = Some(Answer { event: A::NAME, is_for }))
    }

    /// How long the answer is waited for before it is asked for again, and how often. After the last
    /// attempt the saga halts, visibly. From one second to five minutes, ten attempts, unless set.
    pub fn retry(self, backoff: Backoff) -> Self {
        self.change(|kind| kind.retry = backoff)
    }

    fn change(self, change: impl FnOnce(&mut CompensationKind)) -> Self {
        if let Some(kind) = self.define.compensations.get_mut(C::NAME) {
            change(kind);
        }
        self
    }
}
