//! The blocks that were read last, so that a state that is asked often is not read often.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    super::{bytes::Reader, checksum::Seed},
    run::{self, Run},
};
use crate::storage::StorageError;

/// How many blocks are kept; each has its one place.
const PLACES: usize = 512;

/// Larger blocks are not kept, in bytes.
const LARGEST: usize = 32 * 1024;

/// The blocks that were read last.
#[derive(Debug)]
pub(super) struct Cache(Vec<Mutex<Option<Kept>>>);

#[derive(Debug, Clone)]
struct Kept {
    run: u64,
    number: usize,
    bytes: Arc<Vec<u8>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }
}

impl Cache {
    /// What a run says about a key, if anything.
    #[allow(clippy::option_option)] // the outer one is "nothing"
    pub(super) fn get(
        &self,
        run: &Run,
        key: &[u8],
    ) -> Result<Option<Option<Vec<u8>>>, StorageError> {
        let Some(number) = run.block_of(key) else { return Ok(None) };
        let Some(bytes) = self.block(run, number)? else { return Ok(None) };
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() {
            let Some((found, value)) = run::read_entry(&mut reader) else {
                return Err(run.corrupt(run.offset(number)));
            };
            if found >= key {
                return Ok((found == key).then(|| value.map(<[u8]>::to_vec)));
            }
        }
        Ok(None)
    }

    fn block(&self, run: &Run, number: usize) -> Result<Option<Arc<Vec<u8>>>, StorageError> {
        let hash = Seed::NONE.and(run.entry.id).and(number as u64).checksum(&[]);
        let Some(place) = self.0.get(hash as usize % PLACES) else { return Ok(None) };
        let kept = place.lock().clone();
        if let Some(kept) = kept.filter(|kept| (kept.run, kept.number) == (run.entry.id, number)) {
            return Ok(Some(kept.bytes));
        }
        let Some(bytes) = run.block(number)? else { return Ok(None) };
        let bytes = Arc::new(bytes);
        if bytes.len() <= LARGEST {
            let kept = Kept { run: run.entry.id, number, bytes: Arc::clone(&bytes) };
            *place.lock() = Some(kept);
        }
        Ok(Some(bytes))
    }
}
