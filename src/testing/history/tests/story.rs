//! Histories, told in few words.

use std::sync::Arc;

use crate::{
    message::Position,
    testing::{AnomalyKind, End, Ending, Fact, History, Promises, Skip},
};

/// A history of the subscription `s`, which gets the events `e`. Event 0 has no key, the others have
/// the key `k`, unless it is said.
pub(super) struct Story {
    history: History,
    promises: Promises,
}

pub(super) fn position(number: u64) -> Position {
    Position::new(number).unwrap()
}

fn s() -> Arc<str> {
    "s".into()
}

impl Story {
    pub(super) fn new() -> Self {
        Self { history: History::new(), promises: Promises::durable().max_attempts(3) }
            .fact(Fact::Began)
            .started()
    }

    pub(super) fn under(mut self, promises: Promises) -> Self {
        self.promises = promises;
        self
    }

    pub(super) fn fact(self, fact: Fact) -> Self {
        self.history.add(fact);
        self
    }

    pub(super) fn started(self) -> Self {
        self.fact(Fact::Started { subscription: s(), events: vec!["e".into()] })
    }

    /// The process ends, and another one begins.
    pub(super) fn life(self, how: End) -> Self {
        self.fact(Fact::Ended { how }).fact(Fact::Began).started()
    }

    pub(super) fn begin(self, event: u64) -> Self {
        self.begin_as(event, "p", None)
    }

    pub(super) fn begin_as(self, event: u64, publisher: &str, copy_of: Option<u64>) -> Self {
        let key = (event > 0).then(|| "k".into());
        let (publisher, name) = (publisher.into(), "e".into());
        self.fact(Fact::Publishing { publisher, event, name, key, copy_of })
    }

    pub(super) fn acknowledged(self, event: u64, at: u64) -> Self {
        self.fact(Fact::Acknowledged { event, position: position(at) })
    }

    pub(super) fn published(self, event: u64, at: u64) -> Self {
        self.begin(event).acknowledged(event, at)
    }

    pub(super) fn unknown(self, event: u64) -> Self {
        self.begin(event).fact(Fact::Unknown { event })
    }

    pub(super) fn call(self, event: u64, at: u64, attempt: u32) -> Self {
        let (key, position) = ((event > 0).then(|| "k".into()), position(at));
        self.fact(Fact::Called { subscription: s(), event, key, position, attempt })
    }

    pub(super) fn end(self, event: u64, ending: Ending) -> Self {
        self.fact(Fact::Returned { subscription: s(), event, ending })
    }

    pub(super) fn handled(self, event: u64, at: u64) -> Self {
        self.call(event, at, 1).end(event, Ending::Handled)
    }

    pub(super) fn failed(self, event: u64, at: u64, attempt: u32) -> Self {
        self.call(event, at, attempt).end(event, Ending::Failed)
    }

    pub(super) fn settled(self, event: u64) -> Self {
        self.fact(Fact::Settled { subscription: s(), event })
    }

    pub(super) fn skipped(self, event: u64, reason: Option<Skip>) -> Self {
        self.fact(Fact::Skipped { subscription: s(), event, reason })
    }

    pub(super) fn dead(self, event: u64) -> Self {
        self.fact(Fact::Dead { subscription: s(), event })
    }

    pub(super) fn revived(self, event: u64) -> Self {
        self.fact(Fact::Revived { subscription: s(), event })
    }

    pub(super) fn discarded(self, event: u64, certain: bool) -> Self {
        self.fact(Fact::Discarded { subscription: s(), event, certain })
    }

    pub(super) fn lost(self, first: u64, last: u64) -> Self {
        let (first, last) = (position(first), position(last));
        self.fact(Fact::Lost { subscription: s(), first, last })
    }

    pub(super) fn found(self, event: u64, at: u64) -> Self {
        self.fact(Fact::Found { event, position: position(at) })
    }

    pub(super) fn log_ends(self, at: u64) -> Self {
        self.fact(Fact::LogEnds { position: position(at) })
    }

    pub(super) fn cursor(self, at: u64) -> Self {
        self.fact(Fact::Cursor { subscription: s(), position: position(at) })
    }

    pub(super) fn rests(self) -> Self {
        self.fact(Fact::Rested { subscription: s() })
    }

    pub(super) fn effect(self, event: u64) -> Self {
        self.fact(Fact::Effect { subscription: s(), event, step: "mail".into() })
    }

    pub(super) fn kept(self, event: u64, kept: bool) -> Self {
        self.fact(Fact::EffectKept { subscription: s(), event, step: "mail".into(), kept })
    }

    pub(super) fn committed(self, event: u64) -> Self {
        self.fact(Fact::Committed { subscription: s(), event })
    }

    pub(super) fn audited(self) -> Self {
        self.fact(Fact::Audited { subscription: s() })
    }

    /// It is one anomaly, of this kind, with facts to prove it.
    #[track_caller]
    pub(super) fn shows(self, kind: AnomalyKind) {
        let found = self.history.check(&self.promises).unwrap_err();
        let kinds: Vec<_> = found.iter().map(|anomaly| anomaly.kind).collect();
        assert_eq!(kinds, [kind], "{found:#?}\n{}", self.history);
        assert!(found[0].facts.iter().all(|(at, fact)| self.history.facts()[*at] == *fact));
        assert!(!found[0].facts.is_empty());
    }

    #[track_caller]
    pub(super) fn keeps_promises(self) {
        self.history.check(&self.promises).unwrap();
    }
}
