//! Finding out what a retry would come to.

use std::fmt;

use super::{DeadLetterError, DeadLetters, Letters};
use crate::{delivery::DryVerdict, message::Position};

/// What the retry of some dead letters would come to now: `11 of 14 would now succeed`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a dry run is there to be looked at"]
pub struct DryRun {
    /// The letters that were looked at, oldest event first.
    pub verdicts: Vec<(Position, DryVerdict)>,
}

impl DryRun {
    /// How many would succeed.
    #[must_use]
    pub fn would_succeed(&self) -> usize {
        self.count(|verdict| matches!(verdict, DryVerdict::WouldSucceed))
    }

    /// How many would fail.
    #[must_use]
    pub fn would_fail(&self) -> usize {
        self.count(|verdict| matches!(verdict, DryVerdict::WouldFail(_)))
    }

    /// Of how many nobody knows, because they came to an effect outside that was not done before.
    #[must_use]
    pub fn reach_effects(&self) -> usize {
        self.count(|verdict| matches!(verdict, DryVerdict::ReachesEffect(_)))
    }

    fn count(&self, is_such: impl Fn(&DryVerdict) -> bool) -> usize {
        self.verdicts.iter().filter(|(_, verdict)| is_such(verdict)).count()
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} would now succeed", self.would_succeed(), self.verdicts.len())?;
        match self.reach_effects() {
            0 => Ok(()),
            1 => f.write_str(", 1 reaches an effect outside"),
            many => write!(f, ", {many} reach an effect outside"),
        }
    }
}

impl DeadLetters {
    /// Calls the handler with each letter that a filter selects, oldest event first, to see whether a
    /// retry would succeed now. The letters stay as they are.
    ///
    /// It is promised that nothing is kept of what a handler publishes and stores through its
    /// [`Context`](crate::Context), that no effect of [`Context::once`](crate::Context::once) is done
    /// (a result kept from an earlier attempt is given back, and otherwise the letter
    /// [reaches an effect](DryVerdict::ReachesEffect)), and that a panic is only a failure.
    ///
    /// It is **not** promised that nothing happens: what a handler does outside without `once` does
    /// happen, unless it asks [`Context::is_dry_run`](crate::Context::is_dry_run).
    ///
    /// Handlers run on the calling thread, beside the lanes, with their filters and layers. Each letter
    /// is looked at alone, as if nothing before it had been retried; an idempotent handler is called
    /// even if a copy of the event was handled.
    ///
    /// ```
    /// # use tidings::{Bus, DeadLetterError, Letters};
    /// # fn look(bus: &Bus) -> Result<(), DeadLetterError> {
    /// let letters = bus.dead_letters("billing");
    /// let dry_run = letters.dry_run(&Letters::all().error("timed out"))?;
    /// println!("{dry_run}"); // 11 of 14 would now succeed
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The subscription does not run, storage failed, or the handler of one of them is async, pulled or
    /// called where events are published: no handler was called then.
    pub fn dry_run(&self, letters: &Letters) -> Result<DryRun, DeadLetterError> {
        let subscriber = self.running()?;
        let (mut positions, mut refused) = (Vec::new(), None);
        self.each(letters, |letter| {
            if !subscriber.allows_dry_run(letter.event()) {
                refused.get_or_insert_with(|| letter.event().to_owned());
            }
            positions.push(letter.position());
        })?;
        if let Some(event) = refused {
            let subscription = self.subscription.to_string();
            return Err(DeadLetterError::NoDryRun { subscription, event });
        }
        let mut dry_run = DryRun::default();
        for position in positions {
            // One that is gone by now was handled or discarded meanwhile.
            let verdict = subscriber.dry_run(position)?;
            dry_run.verdicts.extend(verdict.map(|verdict| (position, verdict)));
        }
        Ok(dry_run)
    }
}
