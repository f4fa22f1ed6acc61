//! An event that is published again and again.

use std::{fmt, sync::Arc, time::Duration};

use super::Cron;
use crate::{
    bus::{Bus, Error, WeakBus},
    event::{Event, is_valid_name},
    journal::{PublishError, PublishFailure},
    message::Message,
    runtime::{Step, Timestamp},
    storage::{StorageError, Write},
};

/// The thread that looks at the time.
const POOL: &str = "tidings schedule"; // no user can name it so

/// The clock is looked at this often, since it may be set.
const GLANCE: Duration = Duration::from_mins(1);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes of the times that were due while nothing ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CatchUp {
    /// The last of them is published, for all.
    #[default]
    Latest,
    /// Each of them is, in order.
    All,
    /// None is that was due more than two minutes before.
    Skip,
}

/// Why nothing is published by that name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecurringError {
    /// The name is not a good one.
    #[error("`{name}` is not a name for what recurs: use 1 to 128 of a-z A-Z 0-9 . _ -")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// Something of that name recurs already.
    #[error("something named `{name}` recurs already; each needs its own name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Another Rust type has the event's name.
    #[error(transparent)]
    NameTaken(#[from] crate::NameTaken),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<RecurringError> for Error {
    fn from(error: RecurringError) -> Self {
        Self::Other(error.into())
    }
}

/// What is to recur, being described: see [`Bus::every`].
#[must_use = "nothing recurs until it is said what is to be published"]
pub struct RecurringBuilder {
    bus: Bus,
    name: Arc<str>,
    cron: Cron,
    catch_up: CatchUp,
}

impl RecurringBuilder {
    pub(super) fn new(bus: &Bus, name: &str, cron: Cron) -> Self {
        Self { bus: bus.clone(), name: name.into(), cron, catch_up: CatchUp::default() }
    }

    /// What becomes of the times that were due while nothing ran. [`CatchUp::Latest`] unless set.
    pub fn catch_up(mut self, policy: CatchUp) -> Self {
        self.catch_up = policy;
        self
    }

    /// Has what `event` makes published from now on, each time that it is due. `event` gets that time; it
    /// is called on a thread that all schedules share, and again where a publish has failed.
    ///
    /// # Errors
    /// See [`RecurringError`].
    pub fn publish<E: Event>(
        self,
        event: impl Fn(Timestamp) -> E + Send + Sync + 'static,
    ) -> Result<Recurring, RecurringError> {
        let name = self.name.to_string();
        if !is_valid_name(&name) {
            return Err(RecurringError::InvalidName { name });
        }
        let journal = Arc::clone(self.bus.journal());
        journal.topic::<E>()?;
        let runtime = journal.runtime().clone();
        let (weak, key) = (self.bus.downgrade(), state_key(&self.name));
        let last = match journal.get(&key)? {
            Some(bytes) => decode(&bytes)?,
            None => {
                let now = runtime.wall();
                journal.write(vec![Write::put(key, encode(now))])?;
                now
            }
        };
        let calendar = Calendar { cron: self.cron, catch_up: self.catch_up, last };
        let mut clockwork = Clockwork { bus: weak.clone(), name: Arc::clone(&self.name), calendar };
        let task = runtime.task(runtime.pool(POOL, 1), move || clockwork.turn(&event));
        if !self.bus.keep_recurring(&self.name, &task) {
            return Err(RecurringError::DuplicateName { name });
        }
        task.wake();
        Ok(Recurring { bus: weak, name: self.name })
    }
}

impl fmt::Debug for RecurringBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecurringBuilder")
            .field("name", &self.name)
            .field("cron", &self.cron)
            .field("catch_up", &self.catch_up)
            .finish_non_exhaustive()
    }
}

/// What recurs: the handle of it. Dropping it changes nothing.
#[derive(Clone)]
pub struct Recurring {
    bus: WeakBus,
    name: Arc<str>,
}

impl Recurring {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Publishes no more. On a durable bus it goes on where it was when something of that name is
    /// started again, and catches up then.
    pub fn stop(&self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.drop_recurring(&self.name);
        }
    }

    /// Stops it, and forgets what it has come to: started again, it begins anew.
    ///
    /// # Errors
    /// Storage failed.
    pub fn forget(&self) -> Result<(), StorageError> {
        let Some(bus) = self.bus.upgrade() else { return Ok(()) };
        bus.drop_recurring(&self.name);
        bus.journal().write(vec![Write::remove(state_key(&self.name))])
    }
}

impl fmt::Debug for Recurring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recurring").field(&self.name).finish()
    }
}

/// What is due, and what was.
struct Calendar {
    cron: Cron,
    catch_up: CatchUp,
    last: Timestamp,
}

/// What comes next of a calendar.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// This is due, and is to be published.
    Publish(Timestamp),
    /// All until then is passed over.
    PassOver(Timestamp),
    /// Nothing is due before that.
    Wait(Timestamp),
    Never,
}

impl Calendar {
    /// What comes next, where it is `now`. What is due for longer than `late` was missed.
    fn next(&self, now: Timestamp, late: Duration) -> Next {
        let Some(first) = self.cron.next_after(self.last) else { return Next::Never };
        if first > now {
            return Next::Wait(first);
        }
        let is_missed = now.since(first) > late;
        match self.catch_up {
            CatchUp::Skip if is_missed => Next::PassOver(self.latest(first, now)),
            CatchUp::All | CatchUp::Skip => Next::Publish(first),
            CatchUp::Latest => Next::Publish(self.latest(first, now)),
        }
    }

    /// The last that is due by now, from one that is on.
    fn latest(&self, first: Timestamp, now: Timestamp) -> Timestamp {
        let later = |last: &Timestamp| self.cron.next_after(*last).filter(|next| *next <= now);
        std::iter::successors(Some(first), later).last().unwrap_or(first)
    }
}

/// The body of the task.
struct Clockwork {
    bus: WeakBus,
    name: Arc<str>,
    calendar: Calendar,
}

impl Clockwork {
    fn turn<E: Event>(&mut self, event: &impl Fn(Timestamp) -> E) -> Step {
        let Some(bus) = self.bus.upgrade() else { return Step::Wait };
        let now = bus.journal().runtime().wall();
        match self.calendar.next(now, 2 * GLANCE) {
            Next::Publish(due) => match self.publish(&bus, due, event) {
                Ok(()) => {
                    self.calendar.last = due;
                    Step::Again
                }
                Err(PublishFailure::Closed) => Step::Wait,
                Err(failure) => {
                    tracing::error!(name = &*self.name, %failure,
                        "what recurs could not be published; trying again");
                    self.look_in(&bus, PAUSE)
                }
            },
            Next::PassOver(last) => {
                tracing::info!(name = &*self.name, "what was due while nothing ran is passed over");
                self.calendar.last = last;
                Step::Again
            }
            Next::Wait(next) => self.look_in(&bus, next.since(now).min(GLANCE)),
            Next::Never => Step::Wait,
        }
    }

    /// Publishes what is due, and that it was, as one.
    fn publish<E: Event>(
        &self,
        bus: &Bus,
        due: Timestamp,
        event: &impl Fn(Timestamp) -> E,
    ) -> Result<(), PublishFailure> {
        let journal = bus.journal();
        let message = Message::new(event(due));
        let draft = journal.draft_for(message, due).map_err(PublishError::into_failure)?;
        let writes = vec![Write::put(state_key(&self.name), encode(due))];
        journal.publish_with(vec![draft], writes).map_err(|rejected| rejected.failure)?;
        Ok(())
    }

    fn look_in(&self, bus: &Bus, time: Duration) -> Step {
        if let Some(task) = bus.recurring(&self.name) {
            let runtime = bus.journal().runtime();
            runtime.wake_at(runtime.now().saturating_add(time), &task);
        }
        Step::Wait
    }
}

/// Where it is kept what was published last.
fn state_key(name: &str) -> Vec<u8> {
    [b"recurring\0", name.as_bytes()].concat()
}

fn encode(time: Timestamp) -> Vec<u8> {
    time.as_nanos().to_be_bytes().to_vec()
}

fn decode(bytes: &[u8]) -> Result<Timestamp, StorageError> {
    let reason = "what is stored of an event that recurs does not decode";
    let damaged = |_| StorageError::Corrupt { file: "state".into(), offset: 0, reason };
    Ok(Timestamp::from_nanos(u64::from_be_bytes(bytes.try_into().map_err(damaged)?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_nanos(minutes * MINUTE)
    }

    fn calendar(catch_up: CatchUp) -> Calendar {
        Calendar { cron: "0 * * * *".parse().unwrap(), catch_up, last: at(0) }
    }

    #[test]
    fn what_was_missed_is_made_up_for_as_the_policy_has_it() {
        let late = Duration::from_mins(2);
        for policy in [CatchUp::Latest, CatchUp::All, CatchUp::Skip] {
            let calendar = calendar(policy);
            assert_eq!(calendar.next(at(59), late), Next::Wait(at(60)), "{policy:?}");
            assert_eq!(calendar.next(at(61), late), Next::Publish(at(60)), "{policy:?}");
        }
        let missed = |policy| calendar(policy).next(at(200), late);
        assert_eq!(missed(CatchUp::Latest), Next::Publish(at(180)));
        assert_eq!(missed(CatchUp::All), Next::Publish(at(60)));
        assert_eq!(missed(CatchUp::Skip), Next::PassOver(at(180)));
    }

    #[test]
    fn what_never_comes_is_not_waited_for() {
        let cron = "0 0 30 2 *".parse().unwrap();
        let calendar = Calendar { cron, catch_up: CatchUp::All, last: at(0) };
        assert_eq!(calendar.next(at(1), Duration::ZERO), Next::Never);
    }
}
