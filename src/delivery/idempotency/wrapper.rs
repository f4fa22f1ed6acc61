//! Handlers that are called once for all copies of an event.

use std::{fmt, sync::Arc};

use super::inbox::IdempotencyKey;
use crate::{
    delivery::{Context, Handler, HandlerError, IntoHandler},
    event::{Event, Key, ToKey},
    journal::CellRef,
    message::Envelope,
    policy::Window,
};

/// A handler that is called once for all copies of an event. Made by [`idempotent`] and
/// [`idempotent_by`].
pub struct Idempotent<E, H> {
    handler: H,
    key: Option<Arc<KeyOf<E>>>,
    window: Window,
}

type KeyOf<E> = dyn Fn(&E) -> Option<Key> + Send + Sync;

/// Has a handler called once for all copies of a message, known by their [`MessageId`].
///
/// A publisher that tries again under the same id makes no copy within the bus's own
/// [dedup window](crate::BusBuilder::dedup_window); this is for those that come later than
/// that. What is remembered commits with the acknowledgement and with what the
/// handler published and stored: never before, so that a failed attempt is made again, and never
/// after, so that a crash in between cannot repeat it. A copy that comes while the first one is being
/// handled waits for how that ends. Copies are counted in [`Ledger::duplicate`](crate::Ledger).
///
/// How much is remembered is a [`Window`], [`Window::default`] unless [`Idempotent::window`] says
/// otherwise. An event so old that a copy of it may have been forgotten is handled, and flagged: see
/// [`Context::is_beyond_window`] and [`Status::beyond_window`](crate::Status).
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use tidings::{Bus, Event, idempotent};
///
/// # #[derive(Clone, Serialize, Deserialize, Event)]
/// # #[event(name = "payments.taken")]
/// # struct PaymentTaken;
/// let bus = Bus::volatile();
/// bus.subscribe("mail").on(idempotent(|_: &PaymentTaken| println!("thank you"))).start()?;
/// # Ok::<(), tidings::Error>(())
/// ```
///
/// A subscription knows its handlers only from the outside: this has to be what is given to
/// [`SubscriptionBuilder::on`], not something inside. For async and pulled handlers there is
/// [`SubscriptionBuilder::idempotent_by`].
///
/// [`MessageId`]: crate::MessageId
/// [`SubscriptionBuilder::on`]: crate::SubscriptionBuilder::on
/// [`SubscriptionBuilder::idempotent_by`]: crate::SubscriptionBuilder::idempotent_by
pub fn idempotent<E: Event, M, H: IntoHandler<E, M>>(handler: H) -> Idempotent<E, H::Handler> {
    Idempotent { handler: handler.into_handler(), key: None, window: Window::default() }
}

/// Has a handler called once for all events that stand for one thing, as `key` has it: see
/// [`idempotent`]. An event without a key is always handled.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use tidings::{Bus, Context, Event, HandlerError, Window, idempotent_by};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "order_id")]
/// struct OrderPlaced { order_id: u64 }
///
/// fn charge(order: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
///     ctx.state().put("charged", &true)?;
///     Ok(())
/// }
///
/// let bus = Bus::volatile();
/// bus.subscribe("billing")
///     .on(idempotent_by(|order: &OrderPlaced| order.order_id, charge).window(Window::last(10_000)))
///     .start()?;
/// # Ok::<(), tidings::Error>(())
/// ```
pub fn idempotent_by<E: Event, K: ToKey, M, H: IntoHandler<E, M>>(
    key: impl Fn(&E) -> K + Send + Sync + 'static,
    handler: H,
) -> Idempotent<E, H::Handler> {
    let key: Arc<KeyOf<E>> = Arc::new(move |event| key(event).to_key());
    Idempotent { key: Some(key), ..idempotent(handler) }
}

impl<E, H> Idempotent<E, H> {
    /// How much is remembered, instead of [`Window::default`].
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }
}

impl<E: Event, H: Handler<E>> Handler<E> for Idempotent<E, H> {
    fn handle(&self, event: &E, ctx: &mut Context) -> Result<(), HandlerError> {
        self.handler.handle(event, ctx)
    }

    fn is_plain(&self) -> bool {
        self.handler.is_plain()
    }

    fn handle_plain(&self, event: &E) -> Result<(), HandlerError> {
        self.handler.handle_plain(event)
    }

    fn copies_by(&self, event: &E) -> CopiesBy {
        self.key.as_ref().map_or(CopiesBy::Id, |key| CopiesBy::Key(key(event)))
    }

    fn idempotency(&self) -> Option<Idempotency> {
        let Some(key) = self.key.clone() else { return Some(Idempotency::by_id(self.window)) };
        Some(erase_key(self.window, move |event: &E| key(event)))
    }
}

impl<E: Event, H> fmt::Debug for Idempotent<E, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotent")
            .field("event", &E::NAME)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// By what the copies of an event are known.
#[derive(Debug)]
#[non_exhaustive]
pub enum CopiesBy {
    /// The message's id.
    Id,
    /// A key of the event. Without one there are no copies.
    Key(Option<Key>),
}

/// How the copies of an event are known, with its type erased.
#[derive(Clone)]
pub struct Idempotency {
    pub(in crate::delivery) window: Window,
    /// `None`: by the message's id.
    key: Option<Arc<ErasedKeyOf>>,
}

type ErasedKeyOf = dyn Fn(&CellRef) -> Option<Key> + Send + Sync;

pub(crate) fn erase_key<E: Event, K: ToKey>(
    window: Window,
    key: impl Fn(&E) -> K + Send + Sync + 'static,
) -> Idempotency {
    let of = move |event: &CellRef| key(event.get::<E>()?).to_key();
    Idempotency { window, key: Some(Arc::new(of)) }
}

impl Idempotency {
    pub(crate) fn by_id(window: Window) -> Self {
        Self { window, key: None }
    }

    /// What the copies of an event have in common. Runs the user's code.
    pub(in crate::delivery) fn key_of(
        &self,
        event: &CellRef,
        envelope: &Envelope,
    ) -> Option<IdempotencyKey> {
        match &self.key {
            Some(key) => key(event).map(IdempotencyKey::Text),
            None => Some(IdempotencyKey::Id(envelope.id)),
        }
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").field("window", &self.window).finish_non_exhaustive()
    }
}
