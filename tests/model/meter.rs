//! Whether handlers are called no oftener, and no more of them at once, than was asked for.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tidings::{Context, Key};

use crate::{
    breaker::Told,
    notes::Notes,
    protection::{Pace, Protection},
};

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
    notes: Notes,
}

impl Meter {
    pub(crate) fn new(protection: &Protection, notes: &Notes) -> Self {
        Self {
            pace: protection.pace,
            pace_per_key: protection.pace_per_key,
            max_concurrency: protection.max_concurrency,
            told: protection.told.clone(),
            notes: notes.clone(),
            ..Self::default()
        }
    }

    /// A handler is called.
    pub(crate) fn call(&self, now: Duration, event: u64, ctx: &Context) {
        let key = ctx.key();
        self.told.call(now, event, ctx.attempt(), &self.notes);
        if let Some(pace) = self.pace {
            self.pass(pace, None, now, ctx, "calls as early as their rate allows");
        }
        if let (Some(pace), Some(key)) = (self.pace_per_key, key) {
            self.pass(
                pace,
                Some(key.clone()),
                now,
                ctx,
                "calls as early as the rate of their key allows",
            );
        }
        let at_work = 1 + self.at_work.fetch_add(1, Relaxed);
        self.look(at_work);
    }

    /// It has failed, and comes again.
    pub(crate) fn failed(&self, event: u64) {
        self.told.failed(event);
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

    fn pass(
        &self,
        pace: Pace,
        of: Option<Key>,
        now: Duration,
        ctx: &Context,
        waited: &'static str,
    ) {
        let interval = pace.rate.interval();
        let mut due = self.due.lock();
        let due = due.entry(of).or_default();
        let (early, allowed) = (due.saturating_sub(now), interval * (pace.burst - 1));
        self.notes.demand(early <= allowed, || {
            let (subscription, position) = (ctx.subscription(), ctx.position());
            let attempt = ctx.attempt();
            format!(
                "`{subscription}` was called with {position}, attempt {attempt}, at {now:?}: \
                 {early:?} before it is due, {pace:?}"
            )
        });
        if *due > Duration::ZERO && *due == now + allowed {
            self.notes.note(waited);
        }
        *due = (*due).max(now) + interval;
    }
}
