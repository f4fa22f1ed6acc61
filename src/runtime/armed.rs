//! Whether a task comes by itself.

use std::sync::atomic::Ordering;

use super::sync::AtomicBool;

/// Whether a task comes by itself, to look at what there is, so that nobody need call it.
#[derive(Debug, Default)]
pub(crate) struct Armed(AtomicBool);

impl Armed {
    /// Called where there is something new to look at. True where the caller is to have the task come.
    #[inline]
    pub(crate) fn arm(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Called by the task before it looks: it sees what has come so far, and what comes from now on arms
    /// it anew.
    pub(crate) fn begin(&self) {
        // Not a mere store, after which the look could miss what somebody left to this very look.
        self.0.swap(false, Ordering::AcqRel);
    }
}
