//! Mistakes planted in the bus: the runs find each of them.

use std::{
    any::Any,
    cell::Cell,
    collections::BTreeSet,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use parking_lot::Mutex;
use tidings::testing::{AnomalyKind as Kind, Mistake};

use crate::run::{run, run_wrong};

/// So many seeds are enough for each mistake.
const MOST_SEEDS: u64 = 20_000;

/// By what a mistake shows.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// The history has such an anomaly.
    Anomaly(Kind),
    /// The run panics with these words.
    Panic(&'static str),
}

use Sign::{Anomaly, Panic};

const UNRESTING: Sign = Panic("does not come to rest");
const MISCOUNTED: Sign = Panic("was counted so");
const BOOKS: Sign = Panic("matched = ");

/// How each is to be found.
const SIGNS: &[(Mistake, &[Sign])] = &[
    (
        Mistake::AcknowledgeUncommitted,
        &[Anomaly(Kind::LostWrite), Anomaly(Kind::PrematureDelivery)],
    ),
    (Mistake::CommitUnsynced, &[Anomaly(Kind::LostWrite)]),
    (Mistake::NewestFirst, &[Anomaly(Kind::PublisherOrder)]),
    (Mistake::ForgetToHandOver, &[UNRESTING, Panic("Closed")]),
    (Mistake::ForgetMarks, &[Anomaly(Kind::TwoPositionsOfOneEvent)]),
    (Mistake::WrongReceipt, &[Anomaly(Kind::TwoPositionsOfOneEvent)]),
    (Mistake::SettledUncommitted, &[Anomaly(Kind::HandledAgain)]),
    (Mistake::OutputsFirst, &[Anomaly(Kind::EffectTwice), MISCOUNTED]),
    (Mistake::OutputsLast, &[Anomaly(Kind::EffectMissing)]),
    (Mistake::KeepFailedWrites, &[MISCOUNTED]),
    (Mistake::ForgetUnderWay, &[Anomaly(Kind::LostWrite), Anomaly(Kind::Gap)]),
    (Mistake::ForgetGathered, &[Anomaly(Kind::LostWrite), Anomaly(Kind::Gap)]),
    (Mistake::ForgetHoles, &[Anomaly(Kind::LostWrite), Anomaly(Kind::Gap)]),
    (Mistake::CursorAhead, &[Anomaly(Kind::LostWrite), Anomaly(Kind::Gap)]),
    (Mistake::StopAcknowledges, &[Anomaly(Kind::LostWrite), Anomaly(Kind::Gap)]),
    (Mistake::PauseLosesGathered, &[BOOKS]),
    (Mistake::DropLayers, &[Anomaly(Kind::HandledAgain), Anomaly(Kind::EffectTwice), MISCOUNTED]),
    (Mistake::ForgetLayer, &[Anomaly(Kind::HandledAgain), Anomaly(Kind::EffectTwice), MISCOUNTED]),
    (Mistake::BeginTooFar, &[Anomaly(Kind::LostWrite), Anomaly(Kind::HandledTwice)]),
    (Mistake::LoseInbound, &[UNRESTING, Anomaly(Kind::AttemptWentBack)]),
    (Mistake::ForgetTally, &[BOOKS]),
    (Mistake::ForgetAttempt, &[Anomaly(Kind::AttemptWentBack)]),
    (Mistake::ForgetAttemptsAtStop, &[Anomaly(Kind::AttemptWentBack)]),
    (Mistake::FailureFreesKey, &[Anomaly(Kind::OutOfOrder)]),
    (Mistake::StartFreesKey, &[Anomaly(Kind::Overlap)]),
    (Mistake::ForgetRetry, &[UNRESTING]),
    (Mistake::ForgetToWake, &[UNRESTING]),
    (Mistake::LateAcknowledgement, &[Anomaly(Kind::LostWrite), Anomaly(Kind::HandledTwice)]),
    (Mistake::LetterNotStored, &[Anomaly(Kind::LostWrite), BOOKS]),
    (Mistake::RetryRemovesLetter, &[Anomaly(Kind::LostWrite), BOOKS]),
    (Mistake::DiscardNotStored, &[Anomaly(Kind::HandledAfterDiscard)]),
    (Mistake::SweepTooEarly, &[Anomaly(Kind::LostWrite)]),
    (Mistake::LetBehindThrough, &[Anomaly(Kind::LetterOvertaken)]),
    (Mistake::RetryOutOfTurn, &[Anomaly(Kind::LetterOvertaken)]),
    (Mistake::ForgetReady, &[Panic("waits behind nothing")]),
    (Mistake::ForgetToFollow, &[Panic("waits behind nothing")]),
    (Mistake::MarkFailed, &[Anomaly(Kind::LostWrite)]),
    (Mistake::MarkNotStored, &[Anomaly(Kind::CopyHandled)]),
    (Mistake::CopyBesideOriginal, &[Anomaly(Kind::CopyHandled)]),
    (Mistake::KeepClaim, &[UNRESTING]),
    (Mistake::EffectNotStored, &[Anomaly(Kind::EffectTwice)]),
    (Mistake::ForgetEffects, &[Anomaly(Kind::EffectTwice)]),
    (Mistake::IgnoreExpiry, &[Panic("ms old, and was good for"), Panic("s old, and was good for")]),
    (Mistake::ExpiredAsHandled, &[BOOKS]),
    (Mistake::FilteredAsHandled, &[BOOKS]),
    (Mistake::RateNotCharged, &[Panic("before it is due")]),
    (Mistake::KeyRateNotCharged, &[Panic("before it is due")]),
    (Mistake::IgnoreConcurrency, &[Panic(" at work")]),
    (Mistake::IgnoreBreaker, &[Panic("the breaker is open")]),
    (Mistake::ProbeCounts, &[Panic("failed a probe as attempt")]),
];

/// What a run with a mistake shows.
#[derive(Debug)]
enum Seen {
    Anomalies(BTreeSet<Kind>),
    Panic(String),
}

impl Seen {
    fn has(&self, sign: &Sign) -> bool {
        match (self, sign) {
            (Self::Anomalies(kinds), Anomaly(kind)) => kinds.contains(kind),
            (Self::Panic(text), Panic(words)) => text.contains(words),
            _ => false,
        }
    }
}

thread_local! {
    /// Whether panics on this thread are what is looked for.
    static IS_PLANTED: Cell<bool> = const { Cell::new(false) };
}

/// Has panics that are looked for say nothing.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_PLANTED.get() {
                usual(info);
            }
        }));
    });
}

/// What a seed shows of a mistake.
fn look(seed: u64, mistake: Mistake) -> Option<Seen> {
    silence();
    IS_PLANTED.set(true);
    let run = catch_unwind(AssertUnwindSafe(|| run_wrong(seed, mistake)));
    IS_PLANTED.set(false);
    match run {
        Err(panic) => Some(Seen::Panic(text_of(&*panic))),
        Ok(run) => {
            let anomalies = run.checked.err()?;
            Some(Seen::Anomalies(anomalies.iter().map(|anomaly| anomaly.kind).collect()))
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// How a mistake was found.
struct Found {
    mistake: Mistake,
    by: Option<Sign>,
    seeds: u64,
}

/// Runs seeds until one shows the mistake by any of its signs. Without it, nothing is wrong there.
fn find(mistake: Mistake, signs: &[Sign]) -> Found {
    let mut seeds = 0;
    let by = (0..MOST_SEEDS).find_map(|seed| {
        seeds += 1;
        let seen = look(seed, mistake)?;
        let sign = signs.iter().copied().find(|sign| seen.has(sign))?;
        assert!(run(seed).checked.is_ok(), "seed {seed} is wrong without {mistake:?} as well");
        Some(sign)
    });
    Found { mistake, by, seeds }
}

/// Looks for all of them, on as many threads as there are processors.
fn find_all() -> Vec<Found> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((mistake, signs)) = SIGNS.get(next.fetch_add(1, Relaxed)) {
            let one = find(*mistake, signs);
            found.lock().push(one);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner();
    found.sort_by_key(|one| one.mistake);
    found
}

/// The table of docs/testing.md.
fn print_table(found: &[Found]) {
    println!("| mistake | what is wrong | found by | seeds |\n|---|---|---|---|");
    for ((mistake, what), Found { by, seeds, .. }) in Mistake::ALL.iter().zip(found) {
        let by = match by {
            Some(Anomaly(kind)) => format!("`{kind:?}`"),
            Some(Panic(words)) => format!("\u{201c}{}\u{201d}", words.trim()),
            None => "nobody".into(),
        };
        println!("| `{mistake:?}` | {what} | {by} | {seeds} |");
    }
}

#[test]
fn every_planted_mistake_is_found() {
    let planted: BTreeSet<_> = Mistake::ALL.iter().map(|(mistake, _)| *mistake).collect();
    let expected: BTreeSet<_> = SIGNS.iter().map(|(mistake, _)| *mistake).collect();
    assert_eq!(planted, expected, "each has its signs");
    let found = find_all();
    print_table(&found);
    let missed = found.iter().filter(|one| one.by.is_none());
    let missed: Vec<_> = missed.map(|one| one.mistake).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
