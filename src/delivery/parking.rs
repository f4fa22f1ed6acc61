//! Events that have to wait in a lane without holding the lane up.
//!
//! A failing event parks its *key*: it waits for the time of its next attempt, and later events of
//! the key queue behind it. An event without a key parks alone. A key whose event is being handled
//! elsewhere is busy in the same way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    dead_letter::{Failures, Verdict},
    gate::{Deadline, Pass, Start},
    idempotency::Entered,
    quarantine::Stay,
};
use crate::{
    event::Key,
    journal::Entry,
    message::Position,
    runtime::{Tick, Timestamp},
};

/// An event in a lane, with the story of its attempts. There may be many, so that what few have is in a
/// box.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each says something of its own
pub(crate) struct Held {
    pub(super) entry: Arc<Entry>,
    /// Failed attempts so far, by which the policy decides.
    pub(super) attempts: u32,
    pub(super) first_failed: Option<Timestamp>,
    /// The last ones, as far as they are known.
    pub(super) failures: Failures,
    /// The delay before the last attempt.
    pub(super) previous: Duration,
    /// It comes from the dead letters, and stays there until it succeeds. The cursor has passed it.
    pub(super) revival: Option<Box<Revival>>,
    /// A circuit breaker tried it, and it failed.
    pub(super) failed_probe: bool,
    /// How it got through the gate, while it is being handled elsewhere.
    pub(super) pass: Option<Box<Pass>>,
    /// Which attempt that is.
    pub(super) start: Option<Box<Start>>,
    /// It is to become a dead letter as soon as there is room for one.
    pub(super) verdict: Option<Box<Verdict>>,
    /// It may have been under way when the last process ended.
    pub(super) is_suspect: bool,
    /// A copy of it was being handled when it was last looked at.
    pub(super) was_busy: bool,
    /// A batch with it has failed, for whatever of its events: it is handled by itself.
    pub(super) is_alone: bool,
    /// Since when it has been let through to join a batch whose handler was not called yet.
    pub(super) gathered: Option<Tick>,
    /// How many processes have ended while it was handled.
    pub(super) crashes: u32,
    /// While it is handled with care.
    pub(super) stay: Option<Stay>,
    /// By which the inbox knows it while it is being handled.
    pub(super) entered: Option<Entered>,
}

impl Held {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            attempts: 0,
            first_failed: None,
            failures: Failures::default(),
            previous: Duration::ZERO,
            revival: None,
            failed_probe: false,
            pass: None,
            start: None,
            verdict: None,
            is_suspect: false,
            was_busy: false,
            is_alone: false,
            gathered: None,
            crashes: 0,
            stay: None,
            entered: None,
        }
    }

    pub(super) fn revived(entry: Arc<Entry>, revival: Revival) -> Self {
        Self { revival: Some(Box::new(revival)), ..Self::new(entry) }
    }

    /// Whether it is a dead letter that is tried again.
    pub(super) fn is_revived(&self) -> bool {
        self.revival.is_some()
    }

    /// When the attempt that is under way is too late.
    pub(super) fn deadline(&self) -> Option<&Deadline> {
        self.start.as_ref()?.deadline.as_ref()
    }

    /// Whether no attempt with it has ever failed.
    pub(super) fn is_fresh(&self) -> bool {
        !self.is_tried() && !self.is_revived()
    }

    /// Whether an attempt has failed since it came, or was sent here from the dead letters.
    pub(super) fn is_tried(&self) -> bool {
        self.attempts > 0 || self.failed_probe
    }

    /// Failed attempts in all: those before it became a dead letter, and those that ended the process
    /// included.
    pub(super) fn all_attempts(&self) -> u32 {
        self.attempts + self.crashes + self.revival.as_ref().map_or(0, |revival| revival.attempts)
    }

    /// When the first of all attempts failed.
    pub(super) fn first_failure(&self) -> Option<Timestamp> {
        self.revival.as_ref().map(|revival| revival.first_failed_at).or(self.first_failed)
    }

    pub(super) fn position(&self) -> Position {
        self.entry.position
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.entry.envelope.key.as_ref()
    }

    /// Takes what it had at the gate.
    pub(super) fn take_pass(&mut self) -> Pass {
        self.pass.take().map_or_else(Pass::default, |pass| *pass)
    }

    /// The number of its lane among so many.
    pub(super) fn lane(&self, lanes: u32) -> usize {
        self.entry.envelope.lane(self.position(), lanes) as usize
    }
}

/// What happened to an event before it became the dead letter that is now tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Revival {
    pub(super) attempts: u32,
    pub(super) first_failed_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Parked {
    /// Waiting for their time, whether they have a key or not.
    heads: BTreeMap<Position, Held>,
    due: BTreeSet<(Tick, Position)>,
    /// Every busy key, with the events behind its head. By position: dead letters that are
    /// tried again come first.
    busy: BTreeMap<Key, VecDeque<Held>>,
    behind: usize,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.heads.len() + self.behind
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.heads.values().chain(self.busy.values().flatten())
    }

    /// The first position that is parked. Events behind a head come after it, but for dead
    /// letters being retried, which the cursor has passed.
    pub(super) fn low(&self) -> Option<Position> {
        let heads = self.heads.values().find(|held| !held.is_revived()).map(Held::position);
        let behind = |queue: &VecDeque<Held>| {
            queue.iter().find(|held| !held.is_revived()).map(Held::position)
        };
        heads.into_iter().chain(self.busy.values().filter_map(behind)).min()
    }

    /// Whether an event has to queue behind its key.
    pub(super) fn is_busy(&self, held: &Held) -> bool {
        held.key().is_some_and(|key| self.busy.contains_key(key))
    }

    /// Whether any wait behind the head of a key.
    pub(super) fn has_queue(&self, key: Option<&Key>) -> bool {
        key.and_then(|key| self.busy.get(key)).is_some_and(|queue| !queue.is_empty())
    }

    /// Makes an event's key busy while the event is handled elsewhere.
    pub(super) fn occupy(&mut self, key: Option<&Key>) {
        if let Some(key) = key {
            self.busy.entry(key.clone()).or_default();
        }
    }

    /// Parks an event, and with it its key, until `due`.
    pub(super) fn park(&mut self, held: Held, due: Tick) {
        self.occupy(held.key());
        self.due.insert((due, held.position()));
        self.heads.insert(held.position(), held);
    }

    /// Parks an event that others of its key may have come before: they wait behind it.
    pub(super) fn put_back(&mut self, held: Held, due: Tick) {
        let key = held.key().filter(|key| self.busy.contains_key(key)).cloned();
        self.park(held, due);
        if let Some(key) = key {
            self.line_up(&key);
        }
    }

    /// Has those of a key wait behind the first of them.
    pub(super) fn line_up(&mut self, key: &Key) {
        let heads = self.heads.values().filter(|held| held.key() == Some(key));
        let later: Vec<_> = heads.skip(1).map(Held::position).collect();
        for position in later {
            self.due.retain(|(_, other)| *other != position);
            if let Some(held) = self.heads.remove(&position) {
                self.queue(held, Tick::ZERO);
            }
        }
    }

    /// Whether one of a key waits for its time.
    pub(super) fn has_head(&self, key: Option<&Key>) -> bool {
        key.is_some_and(|key| {
            self.busy.contains_key(key) && self.heads.values().any(|held| held.key() == Some(key))
        })
    }

    /// Queues an event behind its busy key. One without a key is due at once.
    pub(super) fn queue(&mut self, held: Held, now: Tick) {
        let Some(queue) = held.entry.envelope.key.as_ref().and_then(|key| self.busy.get_mut(key))
        else {
            return self.park(held, now);
        };
        let before = |other: &Held| other.position() < held.position();
        queue.insert(queue.partition_point(before), held);
        self.behind += 1;
    }

    /// Parks an event that finds no room among the dead letters, unless one of its key waits that was
    /// before it, a dead letter that is tried again: then it queues behind that one. True in that case.
    pub(super) fn make_way(&mut self, held: Held, due: Tick) -> bool {
        let queue = held.key().and_then(|key| self.busy.get(key));
        let first = queue.and_then(VecDeque::front);
        if first.is_none_or(|first| first.position() > held.position()) {
            self.park(held, due);
            return false;
        }
        self.queue(held, due);
        true
    }

    /// The next head whose time has come. Its key stays busy.
    pub(super) fn take_due(&mut self, now: Tick) -> Option<Held> {
        let (at, position) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        self.heads.remove(&position)
    }

    /// The next event of a key whose head is done; the key is free where there is none.
    pub(super) fn release(&mut self, key: Option<&Key>) -> Option<Held> {
        let queue = self.busy.get_mut(key?)?;
        let next = queue.pop_front();
        match next {
            Some(_) => self.behind -= 1,
            None => drop(self.busy.remove(key?)),
        }
        next
    }

    /// Deals everything out among as many lanes as there are places. A busy key stays busy.
    pub(super) fn deal(self, places: &mut [&mut Self]) {
        let lanes = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let Self { mut heads, due, busy, .. } = self;
        for (at, position) in due {
            let Some(head) = heads.remove(&position) else { continue };
            if let Some(place) = places.get_mut(head.lane(lanes)) {
                place.park(head, at);
            }
        }
        for (key, queue) in busy {
            if let Some(place) = places.get_mut(key.lane(lanes) as usize) {
                place.behind += queue.len();
                place.busy.entry(key).or_default().extend(queue);
            }
        }
    }

    /// When the next head is due.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.due.first().map(|(at, _)| *at)
    }
}
