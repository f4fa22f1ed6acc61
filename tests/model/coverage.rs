//! What happened in runs, counted: a check that never meets a crash checks nothing.

use std::{collections::BTreeMap, fmt};

use tidings::testing::{End, Ending, Fact, History, Skip};

use crate::notes::Notes;

/// How often each state of interest was reached.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    runs: u64,
    counts: BTreeMap<&'static str, u64>,
}

/// What is to happen, in how many of 1,000 runs at least.
const EXPECTED: &[(&str, u64)] = &[
    ("calls", 1000),
    ("retries", 1000),
    ("panics", 300),
    ("rejections", 100),
    ("acknowledged publishes", 1000),
    ("refused publishes", 100),
    ("publishes of unknown end", 300),
    ("messages published again", 300),
    ("copies", 300),
    ("duplicates", 100),
    ("expired", 100),
    ("filtered", 300),
    ("settled, and that is known", 300),
    ("dead letters", 300),
    ("dead letters tried again", 50),
    ("dead letters given up", 10),
    ("effects", 1000),
    ("effects not on record", 10),
    ("effects repeated", 5),
    ("calls at the same time", 300),
    ("restarted subscriptions", 300),
    ("redelivered", 300),
    ("clean shutdowns", 300),
    ("kills", 300),
    ("power losses", 100),
    ("processes with a broken disk", 100),
    ("changes of lanes", 300),
    ("answered questions", 200),
    ("cursors", 1000),
    ("simulated steps", 1000),
    ("as many handlers as may be", 50),
    ("async calls", 1000),
    ("async handlers cancelled", 50),
    ("batches of several", 300),
    ("batches that failed as a whole", 15),
    ("calls as early as the rate of their key allows", 200),
    ("calls as early as their rate allows", 500),
    ("calls through layers", 1000),
    ("closed breakers", 15),
    ("opened breakers", 100),
    ("handlers that were made", 300),
    ("layers that failed", 200),
    ("letters behind others", 50),
    ("letters edited", 2),
    ("letters given up by a filter", 1),
    ("letters gone when they were old", 100),
    ("letters retried by a filter", 2),
    ("letters retried in runs", 1),
    ("letters tried again at a start", 20),
    ("letters tried without effect", 1),
    ("processes that ended in a handler", 30),
    ("pulled events that were taken back", 15),
    ("settled too late", 3),
    ("subscriptions that were shed", 300),
];

/// What one fact is an example of.
fn names(fact: &Fact) -> &'static [&'static str] {
    match fact {
        Fact::Called { attempt: 1, .. } => &["calls"],
        Fact::Called { .. } => &["calls", "retries"],
        Fact::Returned { ending: Ending::Panicked, .. } => &["panics"],
        Fact::Returned { ending: Ending::Rejected, .. } => &["rejections"],
        Fact::Acknowledged { .. } => &["acknowledged publishes"],
        Fact::Refused { .. } => &["refused publishes"],
        Fact::Unknown { .. } => &["publishes of unknown end"],
        Fact::Publishing { copy_of: Some(_), .. } => &["copies"],
        Fact::Skipped { reason: Some(Skip::Duplicate), .. } => &["duplicates"],
        Fact::Skipped { reason: Some(Skip::Expired), .. } => &["expired"],
        Fact::Skipped { .. } => &["filtered"],
        Fact::Settled { .. } => &["settled, and that is known"],
        Fact::Dead { .. } => &["dead letters"],
        Fact::Revived { .. } => &["dead letters tried again"],
        Fact::Discarded { certain: true, .. } => &["dead letters given up"],
        Fact::Discarded { .. } => &["dead letters given up, or not"],
        Fact::Effect { .. } => &["effects"],
        Fact::EffectKept { kept: false, .. } => &["effects not on record"],
        Fact::Stopped { .. } => &["restarted subscriptions"],
        Fact::Ended { how: End::Clean } => &["clean shutdowns"],
        Fact::Ended { how: End::Killed } => &["kills"],
        Fact::Ended { how: End::PowerLost } => &["power losses"],
        Fact::Cursor { .. } => &["cursors"],
        _ => &[],
    }
}

impl Coverage {
    pub(crate) fn of(history: &History, notes: &Notes) -> Self {
        let mut coverage = Self { runs: 1, counts: notes.counts() };
        let facts = history.facts();
        for name in facts.iter().flat_map(names) {
            coverage.note(name, 1);
        }
        coverage.note_repetitions(&facts);
        coverage
    }

    /// What takes two facts.
    fn note_repetitions(&mut self, facts: &[Fact]) {
        let (mut published, mut effects) = (BTreeMap::new(), BTreeMap::new());
        let (mut handled, mut open) = (BTreeMap::new(), BTreeMap::new());
        let mut again = |seen: &mut BTreeMap<_, u64>, name, key| {
            let times = seen.entry(key).or_default();
            *times += 1;
            self.note(name, u64::from(*times == 2));
        };
        for fact in facts {
            match fact {
                Fact::Publishing { publisher, event, .. } if &**publisher == "main" => {
                    again(&mut published, "messages published again", ("", *event));
                }
                Fact::Effect { event, .. } => again(&mut effects, "effects repeated", ("", *event)),
                Fact::Called { subscription, .. } => {
                    again(&mut open, "calls at the same time", (&**subscription, 0));
                }
                Fact::Returned { subscription, event, ending } => {
                    open.remove(&(&**subscription, 0));
                    if *ending == Ending::Handled {
                        again(&mut handled, "redelivered", (&**subscription, *event));
                    }
                }
                Fact::Began => open.clear(),
                _ => {}
            }
        }
    }

    fn note(&mut self, name: &'static str, count: u64) {
        *self.counts.entry(name).or_default() += count;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        for (name, count) in &other.counts {
            self.note(name, *count);
        }
    }

    pub(crate) fn assert_that_everything_happened(&self) {
        for (name, expected) in EXPECTED {
            let count = self.counts.get(name).copied().unwrap_or(0);
            assert!(count * 1000 >= expected * self.runs, "the runs are too tame, {name}: {self}");
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs", self.runs)?;
        self.counts.iter().try_for_each(|(name, count)| write!(f, ", {name}: {count}"))
    }
}
