//! What handlers would do with the past.

use std::{collections::VecDeque, fmt};

use super::ReplayError;
use crate::{
    bus::{Bus, SubscribeError, Subscription},
    delivery::{DryOutcome, Writes},
    journal::Entry,
    message::Position,
};

/// What handlers would do with the past: see [`ReplayBuilder::dry_run`](super::ReplayBuilder::dry_run).
///
/// An iterator that reads on in the log, and calls a handler, when it is asked for the next.
pub struct DryReplay {
    bus: Bus,
    subscription: Subscription,
    page: VecDeque<Entry>,
    next: Position,
    end: Position,
    stored: Writes,
    /// Yielded before, and not taken.
    put_back: Option<DryOutcome>,
}

impl DryReplay {
    pub(super) fn new(bus: &Bus, subscription: Subscription) -> Result<Self, SubscribeError> {
        let subscriber = subscription.subscriber();
        if let Some(event) = subscriber.first_started() {
            let name = subscription.name().to_owned();
            subscription.stop(std::time::Duration::ZERO);
            return Err(SubscribeError::Layer { name, event });
        }
        let end = subscriber.until().unwrap_or(Position::LAST);
        let next = subscriber.begins_at();
        let (page, stored) = (VecDeque::new(), Writes::new());
        Ok(Self { bus: bus.clone(), next, end, page, stored, subscription, put_back: None })
    }

    /// Has it yield this again.
    pub(super) fn put_back(&mut self, outcome: Option<DryOutcome>) {
        self.put_back = outcome;
    }

    fn read_on(&mut self) -> Result<(), ReplayError> {
        let filter = self.subscription.subscriber().wanted();
        while self.page.is_empty() && self.next < self.end {
            let (entries, next) = self.bus.journal().read(self.next, self.end, filter)?;
            if next <= self.next {
                self.next = self.end;
                break;
            }
            (self.page, self.next) = (entries.into(), next);
        }
        Ok(())
    }
}

impl Iterator for DryReplay {
    type Item = Result<DryOutcome, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(outcome) = self.put_back.take() {
            return Some(Ok(outcome));
        }
        loop {
            if let Err(error) = self.read_on() {
                self.next = self.end;
                return Some(Err(error));
            }
            let entry = self.page.pop_front()?;
            let subscriber = self.subscription.subscriber();
            if let Some(outcome) = subscriber.replay_dry(entry, &mut self.stored) {
                return Some(Ok(outcome));
            }
        }
    }
}

impl Drop for DryReplay {
    fn drop(&mut self) {
        self.subscription.stop(std::time::Duration::ZERO);
    }
}

impl fmt::Debug for DryReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DryReplay")
            .field("next", &self.next)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
