//! The state in one file, as of a batch. Derived: without it the state is rebuilt from the log.

use super::{
    bytes::{Reader, Writer},
    disk::Disk,
    failure::doing,
    layout::Layout,
    segment::{StoreId, VERSION},
};
use crate::storage::{StorageError, state::State};

const MAGIC: [u8; 8] = *b"tidstate";

/// `magic | version | store | seq | entries | length of the entries`, then entries and CRC.
const HEADER: usize = 52;

/// What the file held.
#[derive(Debug)]
pub(super) enum Snapshot {
    Missing,
    /// Not usable, for this reason.
    Bad(&'static str),
    Valid {
        store: StoreId,
        /// The last batch whose writes it contains. That batch and those before it are durable.
        seq: u64,
        state: State,
    },
}

/// Replaces the snapshot, durably. All batches up to `seq` must be durable before.
pub(super) fn write(
    disk: &dyn Disk,
    layout: &Layout,
    store: StoreId,
    seq: u64,
    state: &State,
) -> Result<(), StorageError> {
    let (path, new) = (&layout.snapshot, &layout.new_snapshot);
    let bytes = encode(store, seq, state);
    let file = disk.open(new, true).map_err(doing("creating", new))?;
    file.write_all_at(&bytes, 0).map_err(doing("writing", new))?;
    file.sync_data().map_err(doing("syncing", new))?;
    disk.rename(new, path).map_err(doing("renaming", new))?;
    disk.sync_dir(&layout.root).map_err(doing("syncing the directory", &layout.root))
}

pub(super) fn read(disk: &dyn Disk, layout: &Layout) -> Result<Snapshot, StorageError> {
    let path = &layout.snapshot;
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Snapshot::Missing),
        Err(error) => return Err(doing("opening", path)(error)),
    };
    let size = file.size().map_err(doing("reading", path))?;
    let mut head = [0; HEADER];
    let count = file.read_at(&mut head, 0).map_err(doing("reading", path))?;
    if let Some(found) = other_version(head.get(..count).unwrap_or_default()) {
        return Err(StorageError::Format { file: path.clone(), found, supported: VERSION });
    }
    // What the file says of its length counts only as far as the file goes.
    let length = head.last_chunk().map_or(0, |field| u64::from_le_bytes(*field));
    let Some(length) = length.checked_add(HEADER as u64 + 4).filter(|length| *length <= size)
    else {
        return Ok(Snapshot::Bad("it is cut off"));
    };
    let mut bytes = Vec::new();
    let room =
        usize::try_from(length).ok().filter(|length| bytes.try_reserve_exact(*length).is_ok());
    let Some(length) = room else { return Ok(Snapshot::Bad("it is too large")) };
    bytes.resize(length, 0);
    let count = file.read_at(&mut bytes, 0).map_err(doing("reading", path))?;
    let bytes = bytes.get(..count).unwrap_or_default();
    Ok(decode(bytes).unwrap_or(Snapshot::Bad("its checksum does not fit")))
}

fn encode(store: StoreId, seq: u64, state: &State) -> Vec<u8> {
    let entries: usize = state.iter().map(|(key, value)| key.len() + value.len() + 20).sum();
    let mut out = Writer(Vec::with_capacity(HEADER + entries + 4));
    out.bytes(&MAGIC);
    out.u32(VERSION);
    out.bytes(&store);
    out.u64(seq);
    out.u64(state.len() as u64);
    out.u64(0); // the length of the entries, known below
    for (key, value) in state.iter() {
        out.prefixed(key);
        out.prefixed(value);
    }
    let length = (out.0.len() - HEADER) as u64;
    if let Some(field) = out.0.get_mut(HEADER - 8..HEADER) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    out.u32(crc32c::crc32c(&out.0));
    out.0
}

/// The version, where it is another one. A damaged file has no say here, so its checksum is not
/// asked: another version may keep it elsewhere.
fn other_version(bytes: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 8] = reader.array()?;
    reader.u32().filter(|found| magic == MAGIC && *found != VERSION)
}

/// Bytes after the checksum are what a longer, unfinished snapshot left; they mean nothing.
fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 8] = reader.array()?;
    let version = reader.u32()?;
    let store = reader.array()?;
    let (seq, count, length) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let length = usize::try_from(length).ok()?;
    let entries = reader.bytes(length)?;
    let covered = bytes.get(..HEADER + length)?;
    if reader.u32()? != crc32c::crc32c(covered) || magic != MAGIC || version != VERSION {
        return None;
    }
    let mut reader = Reader::new(entries);
    let state = (0..count)
        .map(|_| Some((reader.prefixed()?.to_vec(), reader.prefixed()?.to_vec())))
        .collect::<Option<State>>()?;
    Some(Snapshot::Valid { store, seq, state })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::storage::Write;

    fn sample() -> State {
        let mut state = State::default();
        state.apply(vec![Write::put("a", "1"), Write::put("b", [])]);
        state
    }

    fn is_sample(bytes: &[u8]) -> bool {
        let Some(Snapshot::Valid { store, seq, state }) = decode(bytes) else {
            return false;
        };
        (store, seq, state) == ([3; 16], 9, sample())
    }

    #[test]
    fn it_comes_back_whatever_follows_it() {
        let mut bytes = encode([3; 16], 9, &sample());
        assert!(is_sample(&bytes));
        bytes.extend([1, 2, 3]);
        assert!(is_sample(&bytes));
    }

    #[test]
    fn any_flip_and_any_cut_is_noticed() {
        let bytes = encode([3; 16], 9, &sample());
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_none());
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode(&flipped).is_none());
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..120)) {
            prop_assert!(decode(&bytes).is_none());
        }
    }
}
