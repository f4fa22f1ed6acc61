//! At the end of a run, with everything at rest: what is in the log, what became of each event, and
//! whether the ledgers say the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tidings::{
    Bus, DeadLetter, DeadLetterReason, Event, Ledger, Position, Subscription,
    storage::{FileStorage, Query, Storage},
    testing::{Ending, Fact, History, Skip},
};

use crate::{
    flow::{self, Counted, Source},
    pulled::Running,
    run::World,
    subscriptions::SUBSCRIPTIONS,
};

pub(crate) fn assert_balance(running: &Running) {
    let ledger = running.subscription.ledger();
    assert!(ledger.is_balanced(), "{}: {ledger}", running.by);
}

/// What was looked at, and is right if the history is.
pub(crate) struct Audited {
    counts: Vec<Counted>,
    books: Vec<(&'static str, Ledger, Books, PassedOver)>,
}

impl Audited {
    /// The state is right, and ledgers say what the history says.
    pub(crate) fn assert_right(&self) {
        assert_no_gaps(&self.counts);
        for (by, ledger, books, passed_over) in &self.books {
            books.assert_agree(by, ledger, passed_over);
        }
    }
}

/// Closes the bus, and looks at everything.
pub(crate) fn audit(world: &World, bus: Bus, subscriptions: &[Subscription]) -> Audited {
    let history = &world.scene.history;
    for by in SUBSCRIPTIONS {
        world.letters.watch(&bus, by);
        let letters = bus.dead_letters(by).list().unwrap();
        assert_none_waits(by, &letters);
        for letter in letters {
            let event = flow::event_of(&letter);
            history.add(Fact::Dead { subscription: by.into(), event });
        }
    }
    let ledgers: Vec<_> = subscriptions.iter().map(Subscription::ledger).collect();
    bus.shutdown(Duration::from_secs(1)).unwrap();
    drop(bus);
    let counts = read_all(&world.storage(), history);
    let facts = history.facts();
    let mut all = Vec::new();
    for (by, ledger) in SUBSCRIPTIONS.into_iter().zip(ledgers) {
        let books = Books::of(&facts, by);
        let passed_over = books.explain(by, world);
        all.push((by, ledger, books, passed_over));
        history.add(Fact::Rested { subscription: by.into() });
    }
    Audited { counts, books: all }
}

/// What was put behind a letter has followed it once that was gone.
fn assert_none_waits(by: &str, letters: &[DeadLetter]) {
    let mut keys = BTreeSet::new();
    for letter in letters.iter().filter(|letter| letter.envelope().key.as_ref().is_some()) {
        let is_first = keys.insert(letter.envelope().key.as_ref());
        let waits = is_first && letter.reason() == DeadLetterReason::Behind;
        assert!(!waits, "{by}: {letter:?} waits behind nothing");
    }
}

/// Records everything that is in the log.
fn read_all(storage: &FileStorage, history: &History) -> Vec<Counted> {
    let everything = Query::from(Position::FIRST).records(usize::MAX).bytes(usize::MAX);
    let page = storage.read(&everything).unwrap();
    assert_eq!(page.next, storage.end());
    let mut counts = Vec::new();
    for (position, record) in page.records {
        let event = match &*record.envelope.name {
            Source::NAME => serde_json::from_slice::<Source>(&record.payload).unwrap().event,
            Counted::NAME => {
                let counted: Counted = serde_json::from_slice(&record.payload).unwrap();
                let (subscription, source) = ("counting".into(), counted.source);
                history.add(Fact::Committed { subscription, event: source });
                counts.push(counted);
                Counted::event(source)
            }
            _ => continue,
        };
        history.add(Fact::Found { event, position });
    }
    history.add(Fact::ReadAll);
    history.add(Fact::Audited { subscription: "counting".into() });
    counts
}

/// What a handler stores happens exactly once for each event that it handled: the counts of a key are
/// 0, 1, 2, ... without gap or repetition.
fn assert_no_gaps(counts: &[Counted]) {
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for &Counted { source, key, count } in counts.iter().filter(|counted| counted.key > 0) {
        let expected = next.entry(key).or_default();
        assert_eq!(count, *expected, "event {source} of key {key} was counted so");
        *expected += 1;
    }
}

/// What a history says of the events of one subscription.
#[derive(Default)]
struct Books {
    /// The events that it is to get.
    found: BTreeSet<u64>,
    handled: BTreeSet<u64>,
    /// Those of them whose outputs show that this was committed, where there are outputs.
    committed: BTreeSet<u64>,
    filtered: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    certainly_discarded: BTreeSet<u64>,
}

/// How many events it must have passed over, as there is nothing else that became of them.
#[derive(Default)]
struct PassedOver {
    skipped: u64,
    /// Dead letters go when they are old.
    letters_go: bool,
    /// Those of them that may as well have been dead letters that nobody saw go.
    or_too_old: u64,
    /// Dead letters that nobody saw go.
    too_old: u64,
}

impl Books {
    fn of(facts: &[Fact], by: &str) -> Self {
        let mut books = Self::default();
        for fact in facts {
            match fact {
                // What was dead before may have been handled since: the last look counts.
                Fact::Cursor { subscription, .. } if **subscription == *by => books.dead.clear(),
                Fact::Found { event, .. } if is_for(by, *event) => _ = books.found.insert(*event),
                Fact::Returned { subscription, event, ending: Ending::Handled }
                    if **subscription == *by =>
                {
                    books.handled.insert(*event);
                }
                // What was handled in a process that ended before the commit may fail the next time.
                Fact::Called { subscription, event, .. } if **subscription == *by => {
                    books.handled.remove(event);
                }
                Fact::Committed { subscription, event } if **subscription == *by => {
                    books.committed.insert(*event);
                }
                Fact::Skipped { subscription, event, .. } if **subscription == *by => {
                    books.filtered.insert(*event);
                }
                Fact::Dead { subscription, event } if **subscription == *by => {
                    books.dead.insert(*event);
                }
                Fact::Discarded { subscription, event, certain } if **subscription == *by => {
                    books.discarded.insert(*event);
                    if *certain {
                        books.certainly_discarded.insert(*event);
                    }
                }
                _ => {}
            }
        }
        books
    }

    /// Records why events were not handled, where that follows from what they are.
    fn explain(&self, by: &'static str, world: &World) -> PassedOver {
        let letters_go = world.scene.draws.letters_kept.is_some();
        let mut passed_over = PassedOver { letters_go, ..PassedOver::default() };
        let publishing = &world.publishing;
        let things: BTreeSet<_> = self.handled.iter().map(|e| publishing.thing_of(*e)).collect();
        // What was handled, and that was not committed, may expire before it comes again.
        let done = if by == "counting" { &self.committed } else { &self.handled };
        let settled = [done, &self.filtered, &self.dead, &self.discarded];
        for event in self.found.iter().filter(|event| !settled.iter().any(|s| s.contains(event))) {
            let is_copy = by == "charging" && things.contains(&publishing.thing_of(*event));
            let reason = match () {
                () if is_copy => Skip::Duplicate,
                () if publishing.may_expire(*event) => Skip::Expired,
                () if world.letters.may_be_too_old(by, *event) => {
                    passed_over.too_old += 1;
                    let (subscription, event) = (by.into(), *event);
                    let fact = Fact::Discarded { subscription, event, certain: false };
                    world.scene.history.add(fact);
                    continue;
                }
                () => continue, // the checker will say that it was lost
            };
            passed_over.skipped += 1;
            passed_over.or_too_old += u64::from(world.letters.may_be_too_old(by, *event));
            let (subscription, event, reason) = (by.into(), *event, Some(reason));
            world.scene.history.add(Fact::Skipped { subscription, event, reason });
        }
        passed_over
    }

    /// The ledger says the same.
    fn assert_agree(&self, by: &str, ledger: &Ledger, passed_over: &PassedOver) {
        let count = |events: &BTreeSet<u64>| events.len() as u64;
        assert!(ledger.is_balanced(), "{by}: {ledger}");
        assert_eq!((ledger.held, ledger.in_flight, ledger.waiting), (0, 0, 0), "{by}: {ledger}");
        assert_eq!(ledger.matched, count(&self.found), "{by}: {ledger}");
        assert_eq!(ledger.dead, count(&self.dead), "{by}: {ledger}");
        assert!(ledger.acknowledged <= count(&self.handled), "{by}: {ledger}");
        assert!(ledger.filtered <= count(&self.filtered), "{by}: {ledger}");
        let (known, too_old) = (count(&self.certainly_discarded), passed_over.too_old);
        let discarded = count(&self.discarded) + too_old + passed_over.or_too_old;
        // What was handled, and that was not committed, may have become too old before it came again.
        assert!(passed_over.letters_go || ledger.discarded <= discarded, "{by}: {ledger}");
        assert!(ledger.discarded >= known + too_old, "{by}: {ledger}");
        // An event may be both, and is counted as one of them.
        let PassedOver { skipped, or_too_old, .. } = passed_over;
        let passed = ledger.expired + ledger.duplicate;
        assert!(passed >= skipped - or_too_old, "{by}: {ledger}");
        assert!(passed + ledger.discarded >= skipped + known + too_old, "{by}: {ledger}");
        let others = (ledger.ignored, ledger.missed, ledger.lost);
        assert_eq!(others, (0, 0, 0), "{by}: {ledger}");
    }
}

/// Whether a subscription is to get an event.
fn is_for(by: &str, event: u64) -> bool {
    (by == "second-hand") == (event >= Counted::event(0))
}
