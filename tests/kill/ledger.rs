//! What must be in the log, and what may.

use std::{collections::BTreeMap, fmt, ops::ControlFlow};

use tidings::{
    Event, Position,
    storage::{FileStorage, Query, RecordRef, Storage},
};

use crate::child::{Answered, Asked, IN_FLIGHT};

/// What was acknowledged, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The last acknowledged number of each publisher.
    acknowledged: BTreeMap<u64, u64>,
    /// The last number of each publisher in the log.
    found: BTreeMap<u64, u64>,
    /// How many answers each publisher has in the log.
    answers: BTreeMap<u64, u64>,
    /// Everything before has been checked.
    checked: u64,
}

impl Ledger {
    pub(crate) fn acknowledge(&mut self, lines: &[String]) {
        for line in lines {
            // The test harness writes lines as well, and the last one may be torn.
            let mut words = line.split(' ').map(str::parse::<u64>);
            if let (Some(Ok(publisher)), Some(Ok(number)), None) =
                (words.next(), words.next(), words.next())
            {
                self.acknowledged.insert(publisher, number);
            }
        }
    }

    /// Goes through what is new in the log: in order, without gaps, nothing twice, nothing missing.
    pub(crate) fn check(&mut self, storage: &FileStorage, kill: u64) {
        let from = Position::FIRST.plus(self.checked);
        let mut visit = |record: RecordRef<'_>| {
            if record.name == Asked::NAME {
                let asked: Asked = serde_json::from_slice(record.payload).unwrap();
                let found = self.found.entry(asked.publisher).or_default();
                assert_eq!(asked.number, *found + 1, "{kill}: publisher {}", asked.publisher);
                *found = asked.number;
            } else {
                assert_eq!(record.name, Answered::NAME);
                let answered: Answered = serde_json::from_slice(record.payload).unwrap();
                let answers = self.answers.entry(answered.publisher).or_default();
                // State, output and cursor are one: the n-th answer is to the n-th question.
                let expected = (*answers, *answers + 1);
                assert_eq!((answered.before, answered.number), expected, "{kill}: answers");
                *answers += 1;
            }
            ControlFlow::Continue(())
        };
        let end = storage.visit(&Query::from(from), &mut visit).unwrap();
        assert_eq!(end, storage.end());
        self.checked = end.since(Position::FIRST);
        for (publisher, acknowledged) in &mut self.acknowledged {
            let found = self.found.get(publisher).copied().unwrap_or(0);
            assert!(found >= *acknowledged, "{kill}: {publisher} has {found} of {acknowledged}");
            assert!(found <= *acknowledged + IN_FLIGHT + 1, "{kill}: {publisher}: {found}");
            *acknowledged = found;
        }
    }

    /// Every question has exactly one answer.
    pub(crate) fn check_effects(&self) {
        assert_eq!(self.answers, self.found);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.found.values().sum()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: u64 = self.answers.values().sum();
        write!(f, "{} acknowledged and there, {answers} answered once", self.acknowledged())
    }
}
