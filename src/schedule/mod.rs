//! Events that are published again and again, by a calendar.
//!
//! What is to be published once, and later, is the journal's own business: see
//! [`Bus::schedule`](crate::Bus::schedule).

mod cron;
mod recurring;

pub use cron::{Cron, CronError};
pub use recurring::{CatchUp, Recurring, RecurringBuilder, RecurringError};

use crate::bus::Bus;

impl Bus {
    /// Publishes an event again and again, when a [`Cron`] says so. The name is durable, as that of a
    /// subscription is: on a durable bus what was due while nothing ran is made up for at the next start,
    /// as [`CatchUp`] has it. Each time is published once, whatever happens: that it was is a write
    /// of the commit that publishes.
    ///
    /// Its [`published_at`](crate::Context::published_at) is the time that was due. Dropping the handle
    /// changes nothing; it goes on until it or the bus is stopped.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use tidings::{Bus, CatchUp, Cron, Event, Timestamp};
    ///
    /// #[derive(Serialize, Deserialize, Event)]
    /// #[event(name = "reports.due")]
    /// struct ReportDue;
    ///
    /// let bus = Bus::volatile();
    /// let nightly: Cron = "30 3 * * MON-FRI".parse()?;
    /// bus.every("nightly-report", nightly.in_zone("Europe/Berlin")?)
    ///     .catch_up(CatchUp::Latest)
    ///     .publish(|_due: Timestamp| ReportDue)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn every(&self, name: &str, cron: Cron) -> RecurringBuilder {
        RecurringBuilder::new(self, name, cron)
    }
}
