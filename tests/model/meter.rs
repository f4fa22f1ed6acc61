//! Whether handlers are called no oftener, and no more of them at once, than was asked for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tidings::{Context, Key};

use crate::{
    breaker::Told,
    notes::Notes,
    protection::{Pace, Protection, Spending},
};

/// Within this time no retry is forgotten that a budget has paid for.
const REMEMBERED: Duration = Duration::from_secs(9);

/// The calls of a subscription from one start to the next.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pace: Option<Pace>,
    pace_per_key: Option<Pace>,
    max_concurrency: Option<usize>,
    /// When the next call is due if calls are evenly spread: of all, and of each key.
    due: Mutex<BTreeMap<Option<Key>, Duration>>,
    at_work: AtomicUsize,
    told: Told,
    budget: Option<Spending>,
    spent: Mutex<Spent>,
    notes: Notes,
}

/// What a budget has paid for.
#[derive(Debug, Default)]
struct Spent {
    /// Events that have failed, and were not called again.
    failed: BTreeSet<u64>,
    /// When the last retries were.
    retries: VecDeque<Duration>,
}

impl Meter {
    pub(crate) fn new(protection: &Protection, notes: &Notes) -> Self {
        Self {
            pace: protection.pace,
            pace_per_key: protection.pace_per_key,
            max_concurrency: protection.max_concurrency,
            told: protection.told.clone(),
            budget: protection.budget,
            notes: notes.clone(),
            ..Self::default()
        }
    }

    /// A handler is called.
    pub(crate) fn call(&self, now: Duration, event: u64, ctx: &Context) {
        let key = ctx.key();
        self.told.call(now, event, ctx.attempt(), &self.notes);
        self.spend(now, event);
        if let Some(pace) = self.pace {
            self.pass(pace, None, now, "calls as early as their rate allows");
        }
        if let (Some(pace), Some(key)) = (self.pace_per_key, key) {
            self.pass(
                pace,
                Some(key.clone()),
                now,
                "calls as early as the rate of their key allows",
            );
        }
        let at_work = 1 + self.at_work.fetch_add(1, Relaxed);
        self.look(at_work);
    }

    /// It has failed, and comes again.
    pub(crate) fn failed(&self, event: u64) {
        self.told.failed(event);
        self.spent.lock().failed.insert(event);
    }

    /// Where only so many retries are paid for in any ten seconds, there are no more.
    fn spend(&self, now: Duration, event: u64) {
        let mut spent = self.spent.lock();
        let is_retry = spent.failed.remove(&event);
        let Some(Spending { quarters: 0, min_per_second }) = self.budget.filter(|_| is_retry)
        else {
            return;
        };
        spent.retries.push_back(now);
        spent.retries.retain(|at| *at + REMEMBERED > now);
        let (made, most) = (spent.retries.len(), 10 * min_per_second as usize);
        self.notes.demand(made <= most, || format!("{made} retries, and {most} are paid for"));
    }

    /// It has returned.
    pub(crate) fn end(&self) {
        self.at_work.fetch_sub(1, Relaxed);
    }

    /// So many handlers are at work.
    pub(crate) fn look(&self, at_work: usize) {
        let Some(most) = self.max_concurrency else { return };
        self.notes.demand(at_work <= most, || format!("{at_work} handlers of {most} at work"));
        if at_work == most && most > 1 {
            self.notes.note("as many handlers as may be");
        }
    }

    fn pass(&self, pace: Pace, of: Option<Key>, now: Duration, waited: &'static str) {
        let interval = pace.rate.interval();
        let mut due = self.due.lock();
        let due = due.entry(of).or_default();
        let (early, allowed) = (due.saturating_sub(now), interval * (pace.burst - 1));
        self.notes.demand(early <= allowed, || format!("{early:?} before it is due, {pace:?}"));
        if *due > Duration::ZERO && *due == now + allowed {
            self.notes.note(waited);
        }
        *due = (*due).max(now) + interval;
    }
}
