//! What has failed so far, and when to try again.

use std::time::Duration;

use super::{Attempt, Backoff};
use crate::runtime::Tick;

/// What has failed so far, and when to try again.
#[derive(Debug)]
pub(crate) struct Retries {
    backoff: Backoff,
    failed: u32,
    /// When the first attempt failed.
    since: Tick,
    previous: Duration,
}

impl Retries {
    pub(crate) fn by(backoff: Backoff) -> Self {
        Self { backoff, failed: 0, since: Tick::default(), previous: Duration::ZERO }
    }

    /// How many attempts have failed since the last that did not.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// An attempt has failed now. How long to wait before the next, if there is to be one.
    pub(crate) fn fail(&mut self, now: Tick, random: u64) -> Option<Duration> {
        if self.failed == 0 {
            self.since = now;
        }
        self.failed = self.failed.saturating_add(1);
        let elapsed = now.saturating_sub(self.since);
        let attempt = Attempt { failed: self.failed, elapsed, previous: self.previous };
        let delay = self.backoff.next_delay(attempt, random)?;
        self.previous = delay;
        Some(delay)
    }

    /// One has not.
    pub(crate) fn succeed(&mut self) {
        (self.failed, self.previous) = (0, Duration::ZERO);
    }
}
