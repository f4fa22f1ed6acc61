//! Noticing that the process which has a store open has gone on.

use super::{
    FileReader,
    failure::doing,
    frame::{self, BatchHeader},
    manifest::Manifest,
};
use crate::storage::StorageError;

impl FileReader {
    /// Whether the store may have more by now than this shows, so that a
    /// [`refresh`](FileReader::refresh) is worth its while. Costs two small reads.
    ///
    /// # Errors
    /// Damage and failing reads.
    pub fn is_behind(&self) -> Result<bool, StorageError> {
        let generation = Manifest::read(&self.dir)?.map(|manifest| manifest.generation);
        if generation != Some(self.manifest.generation) {
            return Ok(true);
        }
        let newest = self.view.read().segments.last().cloned();
        let Some(newest) = newest else { return Ok(false) };
        let Some(file) = newest.file()? else { return Ok(true) };
        let mut bytes = [0; frame::HEADER];
        let count = file.read_at(&mut bytes, newest.valid());
        let count = count.map_err(doing("reading", &newest.path))?;
        let bytes = bytes.get(..count).unwrap_or_default();
        Ok(BatchHeader::read(bytes, newest.seed).is_some())
    }
}
