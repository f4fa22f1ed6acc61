//! What opening a store found and did.

use std::path::PathBuf;

/// What opening a store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// How many segments the log has.
    pub segments: u64,
    /// How many commits were found whole.
    pub batches: u64,
    /// How many records they have.
    pub records: u64,
    /// How many bytes at the end of the log belong to commits that never became whole. They are
    /// left where they are, and the log goes on in a new segment.
    pub discarded_bytes: u64,
    /// Why they were discarded.
    pub reason: Option<&'static str>,
    /// Where a segment was moved that a crash left without a valid header, and so without commits.
    pub set_aside: Option<PathBuf>,
    /// How many bytes were written and synced again, because nothing proved that they were durable.
    pub secured_bytes: u64,
    /// Why the state snapshot could not be used, so that the state was rebuilt from the whole log.
    pub snapshot: Option<&'static str>,
}

impl RecoveryReport {
    /// Emits the report as a tracing event: a warning where bytes were discarded.
    pub(super) fn emit(&self, root: &std::path::Path) {
        let path = root.display();
        if self.discarded_bytes > 0 || self.set_aside.is_some() {
            tracing::warn!(%path, report = ?self, "log opened; the debris of a crash was discarded");
        } else {
            tracing::info!(%path, report = ?self, "log opened");
        }
    }
}
