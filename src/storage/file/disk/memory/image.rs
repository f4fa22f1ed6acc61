//! What a disk holds at one moment.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Files and their names. Cheap to clone: what is not changed is shared.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    files: BTreeMap<u64, Arc<Vec<u8>>>,
    pub(super) names: BTreeMap<PathBuf, u64>,
}

impl Image {
    pub(super) fn bytes(&self, file: u64) -> &[u8] {
        self.files.get(&file).map_or(&[], |bytes| bytes.as_slice())
    }

    pub(super) fn bytes_mut(&mut self, file: u64) -> &mut Vec<u8> {
        Arc::make_mut(self.files.entry(file).or_default())
    }

    pub(super) fn put(&mut self, file: u64, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        self.grow(file, end);
        self.bytes_mut(file)[offset..end].copy_from_slice(bytes);
    }

    /// Makes a file at least so long.
    pub(super) fn grow(&mut self, file: u64, len: usize) {
        if self.bytes(file).len() < len {
            self.bytes_mut(file).resize(len, 0);
        }
    }

    /// The size of all files that have a name, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.names.values().map(|file| self.bytes(*file).len() as u64).sum()
    }

    pub(super) fn drop_nameless(&mut self) {
        let named: Vec<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
    }
}
