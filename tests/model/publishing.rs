//! What is published in a run, and how that ended.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tidings::{
    Bus, DeadLetterError, Event, Message, MessageId, Pending, PublishError, Receipt,
    RequestFailure,
    testing::{Fact, Simulator},
};

use crate::{
    draws::Mark,
    flow::{Counted, Source},
    subscriptions::Scene,
};

/// Everything that was published so far, in earlier processes too.
pub(crate) struct Publishing {
    scene: Scene,
    next: Cell<u64>,
    /// The message of each event, as it was published first.
    messages: RefCell<BTreeMap<u64, Message<Source>>>,
    expiring: RefCell<BTreeSet<u64>>,
    receipts: RefCell<Vec<(u64, Receipt)>>,
    pending: RefCell<Vec<(u64, Pending<Source>)>>,
    /// What the edited letters stand for that were published anew.
    edited: RefCell<BTreeMap<u64, u64>>,
}

impl Publishing {
    pub(crate) fn new(scene: Scene) -> Self {
        Self {
            scene,
            next: 1.into(),
            messages: RefCell::default(),
            expiring: RefCell::default(),
            receipts: RefCell::default(),
            pending: RefCell::default(),
            edited: RefCell::default(),
        }
    }

    fn sim(&self) -> &Simulator {
        &self.scene.sim
    }

    fn draw(&self, below: u64) -> u64 {
        self.sim().random_below(below)
    }

    pub(crate) fn publish(&self, bus: &Bus) {
        let (event, message) = self.message();
        self.record(event, &bus.publish(message));
    }

    pub(crate) fn publish_all(&self, bus: &Bus) {
        let (events, messages): (Vec<_>, Vec<_>) =
            (0..self.draw(6)).map(|_| self.message()).unzip();
        match bus.publish_all(messages) {
            Ok(receipts) => {
                for (event, receipt) in events.into_iter().zip(receipts) {
                    self.record(event, &Ok(receipt));
                }
            }
            Err(error) => {
                for event in events {
                    self.scene.history.publish_failed(event, error.failure());
                }
            }
        }
    }

    pub(crate) fn enqueue(&self, bus: &Bus) {
        let (event, message) = self.message();
        match bus.enqueue(message) {
            Ok(under_way) => self.pending.borrow_mut().push((event, under_way)),
            Err(error) => self.record(event, &Err(error)),
        }
    }

    /// Publishes an earlier message as it was, whatever became of it.
    pub(crate) fn republish(&self, bus: &Bus) {
        let messages = self.messages.borrow();
        if self.scene.draws.republishes.is_none() || messages.is_empty() {
            return;
        }
        let which = self.draw(messages.len() as u64) as usize;
        let Some((event, message)) = messages.iter().nth(which) else { return };
        self.begin(*event, message.event());
        self.record(*event, &bus.publish(message.clone()));
    }

    /// Publishes a question, and waits for what the counting subscription publishes for it.
    pub(crate) fn request(&self, bus: &Bus) {
        if !self.scene.draws.requests {
            return;
        }
        let (event, message) = self.message();
        let timeout = Duration::from_millis(self.draw(3000));
        match bus.request::<_, Counted>(message, timeout) {
            Ok(answer) => {
                assert_eq!(answer.source, event, "the answer to another question");
                self.scene.notes.note("answered questions");
                // The answer committed together with the acknowledgement.
                self.scene.history.add(Fact::Settled { subscription: "counting".into(), event });
                self.scene.history.add(Fact::Unknown { event });
            }
            Err(error) => match error.failure() {
                RequestFailure::Publish(failure) => {
                    self.scene.history.publish_failed(event, failure);
                }
                RequestFailure::Timeout(_) | RequestFailure::Closed => {
                    self.scene.history.add(Fact::Unknown { event });
                }
                _ => self.scene.history.add(Fact::Refused { event }),
            },
        }
    }

    /// Some wait for their answers, some never ask, and some cannot any more.
    pub(crate) fn finish(&self) {
        for (event, under_way) in self.pending.take() {
            if !self.scene.fate.has_struck() && self.draw(2) == 0 {
                self.record(event, &under_way.wait());
            } else {
                self.scene.history.add(Fact::Unknown { event });
            }
        }
    }

    /// Makes a new event of a dead letter's, about to be published in its place.
    pub(crate) fn begin_edited(&self, old: &Source) -> Source {
        let event = self.next.replace(self.next.get() + 1);
        let key = if self.draw(2) == 0 { old.key } else { self.draw(self.scene.draws.keys + 1) };
        let source = Source { event, key, thing: old.thing };
        self.edited.borrow_mut().insert(event, old.thing);
        self.begin(event, &source);
        source
    }

    pub(crate) fn record_edited(&self, event: u64, result: Result<Receipt, DeadLetterError>) {
        match result {
            Ok(receipt) => {
                let position = receipt.position;
                self.scene.history.add(Fact::Acknowledged { event, position });
                self.receipts.borrow_mut().push((event, receipt));
            }
            Err(DeadLetterError::Publish(failure)) => {
                self.scene.history.publish_failed(event, &failure);
            }
            Err(_) => self.scene.history.add(Fact::Refused { event }),
        }
    }

    /// The receipt of any acknowledged event.
    pub(crate) fn receipt(&self) -> Option<(u64, Receipt)> {
        let receipts = self.receipts.borrow();
        if receipts.is_empty() {
            return None;
        }
        receipts.get(self.draw(receipts.len() as u64) as usize).copied()
    }

    fn message(&self) -> (u64, Message<Source>) {
        let event = self.next.replace(self.next.get() + 1);
        let draws = &self.scene.draws;
        let copies = draws.copies && event > 1 && self.draw(4) == 0;
        let thing = if copies { self.thing_of(1 + self.draw(event - 1)) } else { event };
        let source = Source { event, key: self.draw(draws.keys + 1), thing };
        self.begin(event, &source);
        let mut message = Message::new(source);
        if draws.expiry && self.draw(3) == 0 {
            self.expiring.borrow_mut().insert(event);
            message = message.expires_after(Duration::from_millis(self.draw(4000)));
        }
        message = match draws.republishes {
            Some(Mark::Key) => message.idempotency_key(event.to_string()),
            Some(Mark::Id) => message.id(MessageId::from_bytes(u128::from(event).to_be_bytes())),
            None => message,
        };
        self.messages.borrow_mut().insert(event, message.clone());
        (event, message)
    }

    /// The first event that stands for the same.
    pub(crate) fn thing_of(&self, event: u64) -> u64 {
        let published = self.messages.borrow().get(&event).map(|message| message.event().thing);
        published.or_else(|| self.edited.borrow().get(&event).copied()).unwrap_or(event)
    }

    fn begin(&self, event: u64, source: &Source) {
        self.scene.history.add(Fact::Publishing {
            publisher: "main".into(),
            event,
            name: Source::NAME.into(),
            key: source.key(),
            copy_of: (source.thing != event).then_some(source.thing),
        });
    }

    fn record(&self, event: u64, result: &Result<Receipt, PublishError<Source>>) {
        self.scene.history.published(event, result);
        if let Ok(receipt) = result {
            self.receipts.borrow_mut().push((event, *receipt));
        }
    }

    /// Whether an event may expire.
    pub(crate) fn may_expire(&self, event: u64) -> bool {
        self.expiring.borrow().contains(&event)
    }
}
