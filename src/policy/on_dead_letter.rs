//! What a dead letter means for later events of its key.

/// What a dead letter means for later events of its key.
///
/// Events without a key are never held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDeadLetter {
    /// They go on without it: what can be handled is handled, and a letter that is retried comes
    /// late.
    #[default]
    Continue,
    /// They become dead letters behind it ([`DeadLetterReason::Behind`]), without being attempted, so
    /// that the key keeps its order. A retry of any letter of the key begins with the first one. Once
    /// that one is handled, or discarded, those behind it follow by themselves, one at a time, until
    /// one fails for good, and then the key goes on as before. Other keys go on all the while.
    ///
    /// Costs room among the dead letters, and a look at them for every event while there are any.
    ///
    /// [`DeadLetterReason::Behind`]: crate::DeadLetterReason::Behind
    HoldKey,
}
