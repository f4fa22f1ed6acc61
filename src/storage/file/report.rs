//! What opening a store found and did.

use std::path::PathBuf;

/// What opening a store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the store had been closed. If not, the process crashed or the power failed.
    pub closed: bool,
    /// How many segments the log has.
    pub segments: u64,
    /// How many commits were gone through: those that no checkpoint contains, and the newest segment's.
    pub batches: u64,
    /// How many records they have.
    pub records: u64,
    /// How many bytes at the end of the log belong to commits that never became whole. There is a
    /// copy among the files that were set aside, and the log goes on in a new segment.
    pub discarded_bytes: u64,
    /// Why they were discarded.
    pub reason: Option<&'static str>,
    /// Files in `quarantine`: what was discarded, and what nothing accounts for.
    pub set_aside: Vec<PathBuf>,
    /// How many bytes were written and synced again, because nothing proved that they were durable.
    pub secured_bytes: u64,
}

impl RecoveryReport {
    /// Emits the report as a tracing event: a warning where something was set aside.
    pub(super) fn emit(&self, root: &std::path::Path) {
        let path = root.display();
        if self.reason.is_some() || !self.set_aside.is_empty() {
            tracing::warn!(%path, report = ?self, "log opened; the debris of a crash was set aside");
        } else {
            tracing::info!(%path, report = ?self, "log opened");
        }
    }
}
