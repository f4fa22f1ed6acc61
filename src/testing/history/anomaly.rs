//! What is wrong with a history.

use std::fmt;

use super::Fact;

/// A promise that a history shows to be broken, and the facts that contradict each other.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anomaly {
    /// What kind it is.
    pub kind: AnomalyKind,
    /// What was promised, and what happened.
    pub explanation: String,
    /// The facts, with their numbers in the history, from 0.
    pub facts: Vec<(usize, Fact)>,
}

/// The explanation, and the facts below it.
impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.explanation)?;
        for (number, fact) in &self.facts {
            write!(f, "\n  {number}: {fact:?}")?;
        }
        Ok(())
    }
}

/// As it is displayed, so that a failed `unwrap` reads well.
impl fmt::Debug for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A way in which a bus can break its promises. Many of them have names of old, given in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AnomalyKind {
    /// An acknowledged event is gone from the log, or was never handled (lost write).
    LostWrite,
    /// A cursor has passed an event that was neither handled nor reported as skipped, dead or lost.
    Gap,
    /// An event was passed over, and there is no telling why.
    SkippedWithoutReason,
    /// An event is there though its publish failed for sure (aborted read).
    AbortedRead,
    /// An event is there that nobody has published.
    Phantom,
    /// A subscription got an event of a name that it has not asked for.
    Uninvited,
    /// An event has another key than it was published with.
    OtherKey,
    /// Two events were seen at one position.
    TwoEventsAtOnePosition,
    /// One event was seen at two positions.
    TwoPositionsOfOneEvent,
    /// An event was handled before it was durable (precommitted read).
    PrematureDelivery,
    /// What one publisher published later comes earlier.
    PublisherOrder,
    /// A publish that began after another one was acknowledged comes before it.
    PublishOrder,
    /// A new process has given an event a position below acknowledged ones.
    PositionWentBack,
    /// The events of a key came out of order, or before the one before them was settled.
    OutOfOrder,
    /// An event came though a dead letter before it holds its key.
    LetterOvertaken,
    /// Two attempts at events of one key, or at one event, were under way at the same time.
    Overlap,
    /// The number of an attempt is not above that of the one before.
    AttemptWentBack,
    /// An event was handled again though its acknowledgement was committed.
    HandledAgain,
    /// An event was handled, and again, though nothing came between.
    HandledTwice,
    /// An event was handled though a copy of it had been.
    CopyHandled,
    /// An event that was handled is a dead letter.
    HandledAndDead,
    /// A dead letter that was given up was handled.
    HandledAfterDiscard,
    /// A cursor is behind where it was.
    CursorWentBack,
    /// A cursor is beyond the end of the log.
    CursorAhead,
    /// An effect that is to happen once has happened twice.
    EffectTwice,
    /// An event was handled, and its effect is not there.
    EffectMissing,
    /// The effect of an event is there that was never handled.
    EffectOfFailure,
}
