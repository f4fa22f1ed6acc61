//! How the instance of an event is found, and what happens where it is not in a state for it.

use std::{any::Any, marker::PhantomData, sync::Arc};

use super::{Define, Saga};
use crate::{
    bus::SubscriptionBuilder,
    event::{Event, Key, ToKey},
    saga::{outgoing, running::Runner},
};

/// What happens with an event whose instance is not there, if the event does not begin one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missing {
    /// It is kept, visibly, and handed in when the instance begins: events overtake each other. The
    /// default.
    #[default]
    Park,
    /// It is passed over.
    Ignore,
    /// It becomes a dead letter.
    Reject,
    /// It is tried again, as the subscription's retry policy says. Only for an event that finds its
    /// instance [`by`](EventDefinition::by) another key than its own: events of its own key wait behind it.
    Retry,
}

/// What happens with an event that comes after the saga is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Late {
    /// It is noted in the history, and that is all. The default.
    #[default]
    Ignore,
    /// It becomes a dead letter.
    Reject,
}

/// What an event means in all states that do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Elsewhere {
    /// Nothing; it is noted in the history.
    Ignore,
    /// It came too early, and is kept for a later state.
    Defer,
    /// It must not come, and becomes a dead letter.
    Reject,
}

/// How the instance of an event is found.
pub(in crate::saga) type KeyOf = Arc<dyn Fn(&dyn Any) -> Option<Key> + Send + Sync>;

/// An event that a saga knows.
pub(in crate::saga) struct EventKind<S: Saga> {
    pub(in crate::saga) version: u32,
    /// `None`: by the message's own key.
    pub(in crate::saga) by: Option<KeyOf>,
    pub(in crate::saga) missing: Option<Missing>,
    pub(in crate::saga) late: Option<Late>,
    pub(in crate::saga) elsewhere: Option<Elsewhere>,
    pub(in crate::saga) encode: Encode,
    pub(in crate::saga) decode: Decode,
    /// Has the saga's subscription handle it.
    pub(in crate::saga) subscribe: fn(SubscriptionBuilder, Arc<Runner<S>>) -> SubscriptionBuilder,
}

type Encode = fn(&dyn Any) -> Result<Vec<u8>, String>;
type Decode = fn(&[u8]) -> Result<Box<dyn Any>, String>;

impl<S: Saga> EventKind<S> {
    pub(super) fn of<E: Event>() -> Self {
        Self {
            version: E::VERSION,
            by: None,
            missing: None,
            late: None,
            elsewhere: None,
            encode: encode::<E>,
            decode: decode::<E>,
            subscribe: crate::saga::running::subscribe::<S, E>,
        }
    }
}

fn encode<E: Event>(event: &dyn Any) -> Result<Vec<u8>, String> {
    let event = event.downcast_ref::<E>().ok_or("it is of another type")?;
    outgoing::encode(event).map_err(|error| error.to_string())
}

fn decode<E: Event>(bytes: &[u8]) -> Result<Box<dyn Any>, String> {
    let event = E::codec().decode(bytes).map_err(|error| error.to_string())?;
    Ok(Box::new(event))
}

/// How the instance of an event is found, and what happens where it is not in a state for it; see
/// [`Define::event`].
#[allow(missing_debug_implementations)] // it is made of closures
pub struct EventDefinition<'d, S: Saga, E> {
    pub(super) define: &'d mut Define<S>,
    pub(super) event: PhantomData<fn() -> E>,
}

#[allow(clippy::return_self_not_must_use, clippy::must_use_candidate)] // each call has its effect
impl<S: Saga, E: Event> EventDefinition<'_, S, E> {
    /// Finds the instance by this key instead of the event's own.
    ///
    /// Events of an instance that have other keys of their own could be in several lanes at once, so that
    /// a saga with such an event runs in one lane.
    pub fn by<K: ToKey>(self, key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        let by: KeyOf = Arc::new(move |event| key(event.downcast_ref::<E>()?).to_key());
        self.change(|kind| kind.by = Some(by))
    }

    /// What happens where the instance is not there. As the [saga](Define::missing) says, unless set.
    pub fn missing(self, policy: Missing) -> Self {
        self.change(|kind| kind.missing = Some(policy))
    }

    /// What happens after the saga is over. As the [saga](Define::late) says, unless set.
    pub fn late(self, policy: Late) -> Self {
        self.change(|kind| kind.late = Some(policy))
    }

    /// What the event means in all states that do not say.
    pub fn elsewhere(self, policy: Elsewhere) -> Self {
        self.change(|kind| kind.elsewhere = Some(policy))
    }

    fn change(self, change: impl FnOnce(&mut EventKind<S>)) -> Self {
        if let Some(kind) = self.define.events.get_mut(E::NAME) {
            change(kind);
        }
        self
    }
}
