//! Going through a run block by block, past damaged ones.

use std::ops::Range;

use super::{
    super::{bytes::Reader, directory::Directory, manifest::RunEntry},
    run::{self, Run},
};
use crate::storage::StorageError;

/// A block, and whether it is as it was written.
#[derive(Debug)]
pub(in crate::storage::file) struct Inspected {
    pub(in crate::storage::file) bytes: Range<u64>,
    /// How many entries it has, if it is whole.
    pub(in crate::storage::file) entries: u64,
    pub(in crate::storage::file) fault: Option<&'static str>,
}

/// Reads and verifies every block.
pub(in crate::storage::file) fn inspect(run: &Run, each: &mut dyn FnMut(Inspected)) {
    let mut last: Option<Vec<u8>> = None;
    for number in 0.. {
        let (start, next) = (run.offset(number), run.offset(number + 1));
        let bytes = start..if next > start { next } else { run.entry.len };
        let (entries, fault) = match run.block(number) {
            Ok(None) => return,
            Ok(Some(block)) => match count(&block, &mut last) {
                Some(entries) => (entries, None),
                None => (0, Some("a block of the state does not decode")),
            },
            Err(StorageError::Corrupt { reason, .. }) => (0, Some(reason)),
            Err(_) => (0, Some("a block of the state cannot be read")),
        };
        each(Inspected { bytes, entries, fault });
    }
}

/// How many entries there are, if their keys rise.
fn count(block: &[u8], last: &mut Option<Vec<u8>>) -> Option<u64> {
    let mut reader = Reader::new(block);
    let mut entries = 0;
    while !reader.is_empty() {
        let (key, _) = run::read_entry(&mut reader)?;
        if last.as_deref().is_some_and(|last| last >= key) {
            return None;
        }
        *last = Some(key.to_vec());
        entries += 1;
    }
    Some(entries)
}

/// Is shown keys and values; a removed key has none.
type EachEntry<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StorageError>;

/// Shows the entries in order. With `past_damage` those of all blocks that are whole.
pub(in crate::storage::file) fn each_entry(
    run: &Run,
    past_damage: bool,
    each: EachEntry<'_>,
) -> Result<(), StorageError> {
    for number in 0.. {
        let block = match run.block(number) {
            Ok(None) => break,
            Ok(Some(block)) => block,
            Err(_) if past_damage => continue,
            Err(error) => return Err(error),
        };
        let mut reader = Reader::new(&block);
        while let Some((key, value)) = run::read_entry(&mut reader) {
            each(key, value)?;
        }
        if !reader.is_empty() && !past_damage {
            return Err(run.corrupt(run.offset(number)));
        }
    }
    Ok(())
}

/// What a manifest would say about a file of the state, by the file itself.
pub(in crate::storage::file) fn entry_of(dir: &Directory, id: u64) -> Option<RunEntry> {
    let file = dir.disk.open_read(&dir.run(id)).ok()?;
    let len = file.size().ok()?;
    let mut crc = [0; 4];
    file.read_at(&mut crc, len.checked_sub(4)?).ok()?;
    Some(RunEntry { id, len, crc: u32::from_le_bytes(crc) })
}
