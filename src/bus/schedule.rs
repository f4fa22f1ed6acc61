//! Publishing later.

use std::{collections::VecDeque, fmt, sync::Arc};

use super::{Bus, Inner};
use crate::{
    event::Event,
    journal::{PublishError, Rejected, ScheduledEvent},
    message::{Delayed, Scheduled},
    storage::StorageError,
};

/// How many are read at once.
const PAGE: usize = 256;

impl Bus {
    /// Has a message published later: once, when its time has come, at the place in the journal that
    /// the next event then gets. Its [`published_at`](crate::Context::published_at) is the time for
    /// which it was scheduled. Returns once that is as durable as the bus promises.
    ///
    /// On a durable bus it outlives the process: what is due while nothing runs is published at the next
    /// start, in the order of its times. On a volatile bus it is lost with the bus, and a million
    /// messages may wait. Time is the time of day, which is looked at once a minute at least: setting
    /// the clock is noticed.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct ReminderDue;
    /// # impl tidings::Event for ReminderDue { const NAME: &'static str = "reminders.due"; }
    /// use std::time::Duration;
    ///
    /// use tidings::{Bus, Message};
    ///
    /// let bus = Bus::volatile();
    /// bus.schedule(Message::new(ReminderDue).delay(Duration::from_secs(3600)))?;
    /// # Ok::<(), tidings::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Bus::publish`]. The message is handed back.
    pub fn schedule<E: Event>(&self, delayed: Delayed<E>) -> Result<Scheduled, PublishError<E>> {
        let journal = &self.inner.journal;
        let later = journal.draft_later(delayed, None)?;
        journal.schedule(later).map_err(Rejected::into_error)
    }

    /// Takes a scheduled message back. False where it was published, or taken back, before: it is
    /// either the one or the other. Costs a commit on a durable bus.
    ///
    /// # Errors
    /// Storage failed, and nobody knows.
    pub fn cancel(&self, scheduled: &Scheduled) -> Result<bool, StorageError> {
        self.inner.journal.cancel(*scheduled)
    }

    /// What waits for its time, the first first. Read in pages as it goes on.
    #[must_use]
    pub fn scheduled(&self) -> ScheduledEvents {
        ScheduledEvents {
            bus: Arc::clone(&self.inner),
            page: VecDeque::new(),
            last: None,
            is_over: false,
        }
    }
}

/// What waits for its time: see [`Bus::scheduled`].
pub struct ScheduledEvents {
    bus: Arc<Inner>,
    page: VecDeque<ScheduledEvent>,
    last: Option<Scheduled>,
    is_over: bool,
}

impl Iterator for ScheduledEvents {
    type Item = Result<ScheduledEvent, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.is_over {
            match self.bus.journal.scheduled(self.last, PAGE) {
                Ok(page) => self.page = page.into(),
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
            self.is_over = self.page.len() < PAGE;
        }
        let next = self.page.pop_front()?;
        self.last = Some(next.scheduled);
        Some(Ok(next))
    }
}

impl fmt::Debug for ScheduledEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScheduledEvents").field("last", &self.last).finish_non_exhaustive()
    }
}
