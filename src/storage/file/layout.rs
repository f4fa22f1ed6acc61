//! Which file is where in the directory.

use std::path::{Path, PathBuf};

/// The paths of a store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) quarantine: PathBuf,
    pub(super) snapshot: PathBuf,
    pub(super) new_snapshot: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            lock: root.join("LOCK"),
            segments: root.join("segments"),
            quarantine: root.join("quarantine"),
            snapshot: root.join("state.snapshot"),
            new_snapshot: root.join("state.snapshot.new"),
        }
    }
}
