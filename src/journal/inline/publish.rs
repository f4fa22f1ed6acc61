//! Publishing an event that has inline handlers: they see it first, then lanes do.

use std::sync::Arc;

use super::{Called, Unhandled};
use crate::{
    event::Event,
    journal::{
        Draft, Journal, PublishError, PublishFailure, Rejected, Topic,
        ring::Incoming,
        volatile::{Admission, position},
    },
    message::{Message, MessageId, Position},
};

impl Journal {
    /// Publishes one event. One that no lane wants gets no place in the ring.
    #[inline]
    pub(in crate::journal) fn publish_inline<E: Event>(
        &self,
        topic: &Arc<Topic>,
        event: E,
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        let is_wanted = topic.route.is_wanted();
        if let Err(failure) = self.admit(usize::from(is_wanted), admission) {
            return Err(PublishError::new(failure, Message::new(event)));
        }
        let Called { unhandled, number } = topic.call_inline(&self.ids, &event);
        if let Some(unhandled) = unhandled {
            return self.publish_unhandled(topic, event, unhandled, admission);
        }
        if is_wanted {
            return self.publish_to_lanes_too(topic, event, admission);
        }
        Ok((self.end(), self.ids.at(number, self.clock.wall())))
    }

    #[inline(never)]
    fn publish_to_lanes_too<E: Event>(
        &self,
        topic: &Arc<Topic>,
        event: E,
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        self.publish_to_lanes(topic, event, admission)
    }

    #[cold]
    fn publish_unhandled<E: Event>(
        &self,
        topic: &Arc<Topic>,
        event: E,
        unhandled: Unhandled,
        admission: Admission,
    ) -> Result<(Position, MessageId), PublishError<E>> {
        let draft = self.draft_as(topic, Message::new(event), None)?;
        let id = draft.envelope().id;
        let detours = unhandled.into_all().map(|one| one.detour(&draft)).collect();
        let published = self.append(vec![draft], detours, admission);
        published.map(|at| (at, id)).map_err(Rejected::into_error)
    }

    /// Publishes several events of one kind, taken out of `events` if there is room for all.
    pub(in crate::journal) fn publish_batch_inline<E: Event>(
        &self,
        topic: &Arc<Topic>,
        events: &mut Vec<E>,
    ) -> Result<Position, PublishFailure> {
        let is_wanted = topic.route.is_wanted();
        self.admit(if is_wanted { events.len() } else { 0 }, Admission::Wait)?;
        let mut unhandled = Vec::new();
        for (at, event) in events.iter().enumerate() {
            let called = topic.call_inline(&self.ids, event);
            unhandled.extend(called.all_unhandled().map(|one| (at, one)));
        }
        if unhandled.is_empty() && is_wanted {
            return self.publish_batch_to_lanes(topic, events);
        }
        if unhandled.is_empty() {
            events.clear();
            return Ok(self.end());
        }
        let drafts = self.draft_batch(topic, events)?;
        let detours = detours(&drafts, unhandled);
        let appended = self.append(drafts, detours, Admission::Wait);
        appended.map_err(|rejected| rejected.into_events(events))
    }

    /// Calls the inline handlers of drafts, and appends these.
    pub(in crate::journal) fn publish_all_inline(
        &self,
        drafts: Vec<Draft>,
        admission: Admission,
    ) -> Result<Position, Rejected> {
        if let Err(failure) = self.admit(drafts.len(), admission) {
            return Err(Rejected { failure, drafts });
        }
        let unhandled = self.call_inline(&drafts);
        let detours = detours(&drafts, unhandled);
        self.append(drafts, detours, admission)
    }

    /// The same for what a handler has made, which must not wait for handlers.
    pub(in crate::journal) fn append_always_inline(&self, drafts: Vec<Draft>) {
        let unhandled = self.call_inline(&drafts);
        let detours = detours(&drafts, unhandled);
        let drafts = drafts.into_iter().map(Draft::into_incoming);
        self.ring.append_always(drafts.chain(detours).collect());
    }

    fn call_inline(&self, drafts: &[Draft]) -> Vec<(usize, Unhandled)> {
        let mut unhandled = Vec::new();
        for (at, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.has_inline()) {
            let Some(topic) = draft.topic() else { continue };
            let called = (topic.call_inline)(topic, &self.ids, draft.cell());
            unhandled.extend(called.all_unhandled().map(|one| (at, one)));
        }
        unhandled
    }

    /// Appends drafts, with the detours of those that were not handled, at adjacent positions.
    fn append(
        &self,
        drafts: Vec<Draft>,
        detours: Vec<Incoming>,
        admission: Admission,
    ) -> Result<Position, Rejected> {
        let straight = drafts.iter().map(Draft::incoming);
        let mut all: Vec<_> = straight.chain(detours).collect();
        loop {
            if let Ok(first) = self.ring.append(&mut all, |incoming| incoming, drop) {
                return Ok(position(first));
            }
            if let Err(failure) = self.find_room(all.len(), admission) {
                drop(all);
                return Err(Rejected { failure, drafts });
            }
        }
    }

    /// Looks for room before handlers are called, which cannot be undone.
    #[inline]
    fn admit(&self, count: usize, admission: Admission) -> Result<(), PublishFailure> {
        if self.ring.has_room(count) { Ok(()) } else { self.admit_slowly(count, admission) }
    }

    #[cold]
    fn admit_slowly(&self, count: usize, admission: Admission) -> Result<(), PublishFailure> {
        match count {
            0 if self.ring.is_closed() => Err(PublishFailure::Closed),
            0 => Ok(()),
            _ => self.find_room(count, admission),
        }
    }
}

fn detours(drafts: &[Draft], unhandled: Vec<(usize, Unhandled)>) -> Vec<Incoming> {
    let of = |(at, one): (usize, Unhandled)| drafts.get(at).map(|draft| one.detour(draft));
    unhandled.into_iter().filter_map(of).collect()
}
