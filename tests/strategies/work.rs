//! Events that say what their handlers make of them.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tidings::{Context, Event, HandlerError, testing::Ending};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "work", key_with = "Work::subject")]
pub(crate) struct Work {
    /// 0 stands for no key.
    subject: u8,
    /// How many attempts fail.
    failing: u32,
    /// What comes after that.
    rejected: bool,
    panics: bool,
}

impl Work {
    fn subject(&self) -> Option<u8> {
        (self.subject > 0).then_some(self.subject)
    }

    /// What comes of it at an attempt.
    pub(crate) fn ending(&self, attempt: u32) -> Ending {
        match (attempt <= self.failing, self.panics, self.rejected) {
            (true, true, _) => Ending::Panicked,
            (true, false, _) => Ending::Failed,
            (false, _, true) => Ending::Rejected,
            (false, _, false) => Ending::Handled,
        }
    }

    pub(crate) fn result(&self, attempt: u32) -> Result<(), HandlerError> {
        match self.ending(attempt) {
            Ending::Failed => Err(HandlerError::retry("not yet")),
            Ending::Panicked => std::panic::resume_unwind(Box::new("not yet")), // says nothing
            Ending::Rejected => Err(HandlerError::reject("never")),
            _ => Ok(()),
        }
    }
}

pub(crate) fn handle(work: &Work, ctx: &mut Context) -> Result<(), HandlerError> {
    work.result(ctx.attempt())
}

pub(crate) fn work() -> impl Strategy<Value = Work> {
    let failing = prop_oneof![3 => Just(0), 1 => 1..8_u32];
    (0..4_u8, failing, prop::bool::weighted(0.15), prop::bool::weighted(0.2)).prop_map(
        |(subject, failing, rejected, panics)| Work { subject, failing, rejected, panics },
    )
}
