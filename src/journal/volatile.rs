//! Publishing on a volatile bus: straight into the ring, and waiting for room.

use std::sync::Arc;

use super::{
    Draft, Journal, Places, PublishError, PublishFailure, Rejected, Topic,
    ring::{Full, NoRoom, Tag},
};
use crate::{
    event::Event,
    message::{Message, MessageId, Position, Publishable},
    runtime::{Step, Timestamp, in_task},
};

/// The thread that tends the ring, as it rarely has to.
const POOL: &str = "tidings ring"; // no user can name it so

/// How a publish is treated when the ring is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Wait for room; fail where waiting could be for ever.
    Wait,
    /// Fail at once.
    Fail,
}

impl Journal {
    /// Publishes a message on a volatile bus.
    #[allow(clippy::inline_always)] // see `publish_to_lanes`
    #[inline(always)]
    pub(super) fn publish_volatile<E: Event>(
        &self,
        topic: &Arc<Topic>,
        message: impl Publishable<Event = E>,
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        let event = match message.into_plain() {
            Ok(event) => event,
            Err(message) => return self.publish_with_metadata(topic, message, admission),
        };
        if topic.route.inline() == 0 {
            self.publish_to_lanes(topic, event, admission)
        } else {
            self.publish_inline(topic, event, admission)
        }
    }

    #[allow(clippy::inline_always)] // so that the event need not go through memory on its way
    #[inline(always)]
    pub(super) fn publish_to_lanes<E: Event>(
        &self,
        topic: &Arc<Topic>,
        event: E,
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        let route = &*topic.route;
        let now = self.clock.wall();
        let tag = if route.is_divided() {
            Tag::hashed(route.kind, event.key().as_ref())
        } else {
            Tag::unhashed(route.kind)
        };
        // The position first: the event then moves once, from the caller's registers to its cell.
        let Ok(claimed) = self.ring.claim_one() else {
            return self.publish_when_there_is_room(topic, (tag, event), admission);
        };
        let at = claimed.write(route, tag, event, now);
        Ok((position(at), self.id_at(at, now)))
    }

    #[cold]
    fn publish_when_there_is_room<E: Event>(
        &self,
        topic: &Topic,
        (tag, event): (Tag, E),
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        loop {
            if let Err(failure) = self.find_room(1, admission) {
                return Err(PublishError::new(failure, Message::new(event)));
            }
            if let Ok(claimed) = self.ring.claim_one() {
                let now = self.clock.wall();
                let at = claimed.write(&topic.route, tag, event, now);
                return Ok((position(at), self.id_at(at, now)));
            }
        }
    }

    fn publish_with_metadata<E: Event>(
        &self,
        topic: &Arc<Topic>,
        message: Message<E>,
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        let draft = self.draft_as(topic, message, None)?;
        let id = draft.envelope().id;
        match self.publish_all_volatile(vec![draft], admission) {
            Ok(places) => Ok(places.of_one(id)),
            Err(rejected) => Err(rejected.into_error()),
        }
    }

    /// Publishes several events of one kind, taken out of `events` if there is room for all.
    #[inline]
    pub(super) fn publish_batch_to_lanes<E: Event>(
        &self,
        topic: &Topic,
        events: &mut Vec<E>,
    ) -> Result<Position, PublishFailure> {
        let route = &*topic.route;
        let hashed = |event: &E| Tag::hashed(route.kind, event.key().as_ref());
        let divided = if route.is_divided() { &events[..] } else { &[] };
        let tags: Vec<_> = divided.iter().map(hashed).collect();
        let now = self.clock.wall();
        let count = events.len();
        loop {
            match self.ring.publish_batch(route, events, &tags, now) {
                Ok(first) => return Ok(position(first)),
                Err(NoRoom) => self.find_room(count, Admission::Wait)?,
            }
        }
    }

    /// Publishes drafts at adjacent positions.
    pub(super) fn publish_all_volatile(
        &self,
        mut drafts: Vec<Draft>,
        admission: Admission,
    ) -> Result<Places, Rejected> {
        if drafts.iter().any(Draft::has_inline) {
            return self.publish_all_inline(drafts, admission).map(Places::from);
        }
        if drafts.iter().any(Draft::is_marked) {
            return self.publish_marked(drafts, admission);
        }
        loop {
            if let Ok(first) = self.ring.append(&mut drafts, Draft::into_incoming, drop) {
                return Ok(Places::from(position(first)));
            }
            if let Err(failure) = self.find_room(drafts.len(), admission) {
                return Err(Rejected { failure, drafts });
            }
        }
    }

    /// Publishes drafts of which some may be copies of earlier messages.
    fn publish_marked(
        &self,
        mut drafts: Vec<Draft>,
        admission: Admission,
    ) -> Result<Places, Rejected> {
        loop {
            // Whatever it displaces is dropped when the lock is free: that runs others' code.
            let mut old = Vec::new();
            let mut published = self.published.lock();
            let mut fresh = published.fresh(&drafts).map(Draft::incoming).collect();
            let count = Vec::len(&fresh);
            if let Ok(first) = self.ring.append(&mut fresh, |it| it, |cell| old.push(cell)) {
                let first = position(first);
                let sifted = published.sift(&mut drafts, first);
                drop(published);
                return Ok(Places { first, copies: sifted.places });
            }
            drop(published);
            if let Err(failure) = self.find_room(count, admission) {
                return Err(Rejected { failure, drafts });
            }
        }
    }

    /// Publishes what a handler has made, which must not wait for handlers.
    pub(crate) fn publish_always(&self, drafts: Vec<Draft>) {
        if drafts.is_empty() {
            return;
        }
        if drafts.iter().any(Draft::has_inline) {
            return self.append_always_inline(drafts);
        }
        self.ring.append_always(drafts.into_iter().map(Draft::into_incoming).collect());
    }

    /// Sets up who lets in what handlers have made where no reader does. It runs on a thread of its
    /// own, since it must not wait for handlers either.
    pub(super) fn start_tender(self: &Arc<Self>) {
        let journal = Arc::downgrade(self);
        let tender = self.runtime.task(self.runtime.pool(POOL, 1), move || {
            if let Some(journal) = journal.upgrade() {
                journal.runtime.yield_now();
                journal.ring.tend();
                journal.quiet.notify();
            }
            Step::Wait
        });
        self.ring.tended_by(tender);
    }

    /// Finds room for so many events, if others do not take it first, or says why there is none.
    #[cold]
    pub(super) fn find_room(
        &self,
        count: usize,
        admission: Admission,
    ) -> Result<(), PublishFailure> {
        if count > self.ring.capacity() {
            return Err(self.full());
        }
        let mut patience = self.runtime.patience();
        loop {
            match self.ring.make_room(count) {
                Ok(()) => return Ok(()),
                Err(Full::Closed) => return Err(PublishFailure::Closed),
                // What others are just writing is there soon: but for who is in the middle of that
                // himself.
                Err(Full::Soon) if !in_task() => {}
                Err(Full::Wait) if admission == Admission::Wait && !in_task() => {
                    if patience == 0 {
                        return self.wait_for_room(count);
                    }
                    patience -= 1;
                }
                Err(_) => return Err(self.full()),
            }
            self.runtime.yield_now();
        }
    }

    /// Sleeps for as long as it is readers that have to make room.
    fn wait_for_room(&self, count: usize) -> Result<(), PublishFailure> {
        let _wanted = self.ring.want_room();
        let mut found = Err(Full::Wait);
        // No code of others, and no waiting: whoever notifies waits for this.
        let mut ready = || {
            found = self.ring.room_for(count);
            found != Err(Full::Wait)
        };
        self.runtime.wait(self.ring.room(), None, &mut ready);
        match found {
            Ok(()) | Err(Full::Soon) => Ok(()),
            Err(Full::Closed) => Err(PublishFailure::Closed),
            // Nobody is left who could make room, as only a simulator can tell.
            Err(Full::Wait | Full::Fail) => Err(self.full()),
        }
    }

    fn full(&self) -> PublishFailure {
        PublishFailure::Full { capacity: self.ring.capacity() }
    }

    /// The id of an event without one of its own.
    #[inline]
    fn id_at(&self, at: u64, published_at: Timestamp) -> MessageId {
        self.ids.at(at, published_at)
    }
}

/// Positions of the ring start at 1.
#[inline]
pub(super) fn position(at: u64) -> Position {
    Position::new(at).unwrap_or(Position::FIRST)
}
