//! Two versions of handlers on the same past.

use std::fmt;

use super::{DryReplay, ReplayError};
use crate::delivery::{DryOutcome, DryVerdict};

/// Where two versions of handlers do not do the same: see
/// [`ReplayBuilder::compare`](super::ReplayBuilder::compare).
#[derive(Debug)]
pub struct Comparison {
    new: DryReplay,
    old: DryReplay,
    compared: u64,
}

/// An event with which they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What the new handler does; `None` where it has none for the event.
    pub new: Option<DryOutcome>,
    /// What the other one does.
    pub old: Option<DryOutcome>,
}

impl Comparison {
    pub(super) fn new(new: DryReplay, old: DryReplay) -> Self {
        Self { new, old, compared: 0 }
    }

    /// With how many events they were compared so far.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

impl Iterator for Comparison {
    type Item = Result<Difference, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut new, mut old) = (self.new.next(), self.old.next());
        loop {
            let (one, other) = match (new, old) {
                (None, None) => return None,
                (Some(Err(error)), _) | (_, Some(Err(error))) => return Some(Err(error)),
                (one, other) => (one.and_then(Result::ok), other.and_then(Result::ok)),
            };
            self.compared += 1;
            match (one, other) {
                (Some(one), Some(other)) if one.position == other.position => {
                    if !one.is_like(&other) {
                        return Some(Ok(Difference { new: Some(one), old: Some(other) }));
                    }
                    (new, old) = (self.new.next(), self.old.next());
                }
                // Handlers for different events: they are not compared with each other.
                (one, other) => return Some(Ok(self.only_one(one, other))),
            }
        }
    }
}

impl Comparison {
    /// Of two that are of different events, the one that comes first.
    fn only_one(&mut self, new: Option<DryOutcome>, old: Option<DryOutcome>) -> Difference {
        let is_first = match (&new, &old) {
            (Some(new), Some(old)) => new.position < old.position,
            (new, _) => new.is_some(),
        };
        if is_first {
            self.old.put_back(old);
            return Difference { new, old: None };
        }
        self.new.put_back(new);
        Difference { new: None, old }
    }
}

/// On several lines: the event, what the one does, and what the other does.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(any) = self.new.as_ref().or(self.old.as_ref()) {
            write!(f, "#{} {}", any.position, any.event)?;
        }
        for (sign, outcome) in [("-", &self.old), ("+", &self.new)] {
            match outcome {
                None => write!(f, "\n{sign} not handled")?,
                Some(outcome) => tell(f, sign, outcome)?,
            }
        }
        Ok(())
    }
}

fn tell(f: &mut fmt::Formatter<'_>, sign: &str, outcome: &DryOutcome) -> fmt::Result {
    match &outcome.verdict {
        DryVerdict::WouldSucceed => {}
        DryVerdict::WouldFail(error) => write!(f, "\n{sign} fails: {error}")?,
        DryVerdict::ReachesEffect(step) => write!(f, "\n{sign} comes to the effect `{step}`")?,
    }
    for event in &outcome.published {
        write!(f, "\n{sign} publishes {event}")?;
    }
    for (name, value) in &outcome.stored {
        match value {
            Some(value) => write!(f, "\n{sign} stores {name} = {value}")?,
            None => write!(f, "\n{sign} removes {name}")?,
        }
    }
    Ok(())
}
