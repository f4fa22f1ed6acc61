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
const MOST_SEEDS: u64 = 600;

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
    (Mistake::DropLayerEarly, &[Anomaly(Kind::LostWrite), Anomaly(Kind::Gap)]),
    (Mistake::ForgetLayer, &[Anomaly(Kind::HandledAgain), Anomaly(Kind::EffectTwice), MISCOUNTED]),
    (Mistake::BeginTooFar, &[Anomaly(Kind::LostWrite), Anomaly(Kind::HandledTwice)]),
    (Mistake::LoseInbound, &[UNRESTING]),
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
    (Mistake::BudgetNotCharged, &[Panic("are paid for")]),
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
    seeds: u64,
    by: Option<Sign>,
    /// What else was seen until then.
    others: BTreeSet<String>,
}

fn find(mistake: Mistake, signs: &[Sign]) -> Found {
    let mut found = Found { mistake, seeds: 0, by: None, others: BTreeSet::new() };
    for seed in 0..MOST_SEEDS {
        found.seeds += 1;
        let Some(seen) = look(seed, mistake) else { continue };
        found.by = signs.iter().copied().find(|sign| seen.has(sign));
        if found.by.is_some() {
            assert!(run(seed).checked.is_ok(), "seed {seed} is wrong without {mistake:?} as well");
            break;
        }
        found.others.insert(match seen {
            Seen::Anomalies(kinds) => format!("{kinds:?}"),
            Seen::Panic(text) => text.chars().take(200).collect(),
        });
    }
    found
}

#[test]
fn every_planted_mistake_is_found() {
    let planted: BTreeSet<_> = Mistake::ALL.iter().map(|(mistake, _)| *mistake).collect();
    let signs: BTreeSet<_> = SIGNS.iter().map(|(mistake, _)| *mistake).collect();
    assert_eq!(planted, signs);
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some((mistake, signs)) = SIGNS.get(next.fetch_add(1, Relaxed)) {
                    let begun = std::time::Instant::now();
                    let found = find(*mistake, signs);
                    println!(
                        "{:?} {} {:?} {:?} {:?}",
                        mistake,
                        found.seeds,
                        found.by,
                        begun.elapsed(),
                        found.others
                    );
                    all.lock().push(found);
                }
            });
        }
    });
    let all = all.into_inner();
    let missed: Vec<_> =
        all.iter().filter(|found| found.by.is_none()).map(|found| found.mistake).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
