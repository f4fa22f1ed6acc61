//! What a handler knows of the message, and what it may do besides handling it.

use std::{fmt, sync::Arc};

use super::{State, Subscriber, dry_run::DryRunning, effects::Steps, keys, ledger::Skip};
use crate::{
    event::{Event, Key},
    journal::{Cancel, Draft, Entry, Later, PublishError, Rejected},
    message::{
        CorrelationId, Delayed, Envelope, Headers, MessageId, Position, Publishable, Scheduled,
    },
    runtime::Timestamp,
};

/// What a handler knows of the message, and what it may do besides handling it.
///
/// Whatever it publishes and stores through the context commits together with the acknowledgement,
/// or not at all: a failed attempt leaves nothing behind.
pub struct Context {
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) entry: Arc<Entry>,
    pub(super) attempt: u32,
    pub(super) beyond_window: bool,
    pub(super) staged: Staged,
    /// What the lane has staged before and not yet committed.
    pub(super) earlier: keys::Writes,
    /// What was done outside for the event; `None` before anybody asks.
    pub(super) steps: Option<Steps>,
    /// `None` in earnest.
    pub(super) dry_run: Option<DryRunning>,
}

/// What a handler has asked for, to be committed with the acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(super) drafts: Vec<Draft>,
    /// To be published later.
    pub(super) later: Vec<Later>,
    pub(super) cancels: Vec<Cancel>,
    pub(super) writes: keys::Writes,
    /// About how much all that takes in storage.
    pub(super) bytes: usize,
    /// How many hops are allowed, where something was to be published that goes beyond that.
    pub(super) too_far: Option<u32>,
    /// The event was passed over, and so nothing else is here.
    pub(super) skipped: Option<Skip>,
}

/// The most that one handler call may publish and store, in bytes.
pub(super) const MAX_STAGED: usize = 8 * 1024 * 1024;

impl Staged {
    pub(super) fn skipped(skip: Skip) -> Self {
        Self { skipped: Some(skip), ..Self::default() }
    }

    /// Makes room for so many bytes, or says how many there would be.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), usize> {
        let bytes = self.bytes + bytes;
        if bytes > MAX_STAGED {
            return Err(bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Context {
    /// The message's id.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.envelope().id
    }

    /// The event's name.
    #[must_use]
    pub fn event_name(&self) -> &str {
        &self.envelope().name
    }

    /// The version of the event's payload.
    #[must_use]
    pub fn event_version(&self) -> u32 {
        self.envelope().version
    }

    /// The message's place in the journal.
    #[must_use]
    pub fn position(&self) -> Position {
        self.entry.position
    }

    /// Which attempt this is, from 1. Failed attempts of earlier runs of the process count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the message was published.
    #[must_use]
    pub fn published_at(&self) -> Timestamp {
        self.envelope().published_at
    }

    /// What the event is about.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.envelope().key.as_ref()
    }

    /// The conversation that the message belongs to. Whatever is published here joins it.
    #[must_use]
    pub fn correlation_id(&self) -> CorrelationId {
        self.envelope().correlation_id()
    }

    /// The message that caused this one.
    #[must_use]
    pub fn causation_id(&self) -> Option<MessageId> {
        self.envelope().causation
    }

    /// Whether a copy of the event may have been handled so long ago that it is forgotten: an
    /// [`idempotent`](crate::idempotent()) handler is called with an event older than its
    /// [`Window`](crate::Window) reaches back.
    #[must_use]
    pub fn is_beyond_window(&self) -> bool {
        self.beyond_window
    }

    /// The message's headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.envelope().headers
    }

    /// The name of the subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscriber.name
    }

    /// A key for calls to the outside, the same in every attempt: give it to a service that drops
    /// duplicates. `step` tells several calls of one handler apart.
    #[must_use]
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}:{}:{step}", self.id(), self.subscriber.effects_of)
    }

    /// Publishes together with the acknowledgement. Correlation and causation are inherited, and the
    /// message counts as one [hop](crate::Envelope::hops) further than the one being handled.
    ///
    /// Never waits: nothing is visible before the handler has succeeded.
    ///
    /// # Errors
    /// The event cannot be published whatever the state of the bus: it does not encode, a key,
    /// header or payload is outside the bounds, or this call publishes and stores more than 8 MiB.
    /// Or it would be a hop more than [`BusBuilder::max_hops`](crate::BusBuilder::max_hops) allows:
    /// whatever the handler returns, the attempt has failed then, and the event being handled becomes a
    /// dead letter, [`TooManyHops`](crate::DeadLetterReason::TooManyHops). The event is handed back.
    pub fn publish<P: Publishable>(&mut self, message: P) -> Result<(), PublishError<P::Event>> {
        let message = self.one_hop_on(message.into_message())?;
        let draft = self.subscriber.journal.draft(message, Some(self.envelope()))?;
        match self.staged.reserve(draft.bytes()) {
            Ok(()) => {
                self.staged.drafts.push(draft);
                Ok(())
            }
            Err(bytes) => Err(Rejected::too_large(draft, bytes, MAX_STAGED).into_error()),
        }
    }

    /// Has a message published later, which is committed together with the acknowledgement: see
    /// [`Bus::schedule`](crate::Bus::schedule). Correlation and causation are inherited. One that is at
    /// least a second away begins at no [hops](crate::Envelope::hops), so that a handler may go on for
    /// ever by what it schedules for itself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use tidings::{Bus, Context, Event, HandlerError, Message};
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "orders.placed")]
    /// # struct OrderPlaced { id: u64 }
    /// # #[derive(Serialize, Deserialize, Event)]
    /// # #[event(name = "payments.overdue")]
    /// # struct PaymentOverdue { order: u64 }
    /// # let bus = Bus::volatile();
    /// bus.subscribe("payment-deadlines")
    ///     .on(|order: &OrderPlaced, ctx: &mut Context| -> Result<(), HandlerError> {
    ///         let overdue = Message::new(PaymentOverdue { order: order.id });
    ///         ctx.schedule(overdue.delay(Duration::from_secs(900)))?;
    ///         Ok(())
    ///     })
    ///     .start()?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn schedule<E: Event>(
        &mut self,
        delayed: Delayed<E>,
    ) -> Result<Scheduled, PublishError<E>> {
        let delayed = self.paced(delayed)?;
        let later = self.subscriber.journal.draft_later(delayed, Some(self.envelope()))?;
        match self.staged.reserve(later.bytes()) {
            Ok(()) => {
                let scheduled = later.scheduled();
                self.staged.later.push(later);
                Ok(scheduled)
            }
            Err(bytes) => Err(Rejected::too_large(later.draft, bytes, MAX_STAGED).into_error()),
        }
    }

    /// Takes back what was scheduled, together with the acknowledgement. No error where it has been
    /// published before that.
    pub fn cancel(&mut self, scheduled: &Scheduled) {
        self.staged.cancels.push(Cancel::new(*scheduled));
    }

    /// State of this subscription and this event's key, committed with the acknowledgement.
    pub fn state(&mut self) -> State<'_> {
        State::new(self)
    }

    /// The event is passed over: nothing of this attempt is kept.
    pub(super) fn skip(&mut self, skip: Skip) {
        self.staged = Staged::skipped(skip);
    }

    /// What the wall clock shows, and 64 random bits.
    pub(crate) fn moment(&self) -> (Timestamp, u64) {
        let runtime = self.subscriber.runtime();
        (runtime.wall(), runtime.random())
    }

    /// Whether whoever pulls has it in hand, rather than a handler.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_pulled(&self) -> bool {
        self.subscriber.is_pulled()
    }

    fn envelope(&self) -> &Envelope {
        &self.entry.envelope
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("subscription", &self.subscriber.name)
            .field("position", &self.position())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
