//! Positions whose records were lost: how a rescued store keeps and names them.

use std::ops::{Range, RangeInclusive};

use super::position;
use crate::{
    message::{Envelope, MessageId, Position},
    runtime::Timestamp,
    storage::{Record, Storage, StorageError, Write},
};

/// The name of the records that stand where lost ones were.
pub const LOST_NAME: &str = "tidings.lost";

/// State keys of lost ranges: this, then the first position; the value is the last one. Both have 8
/// bytes, big endian.
const PREFIX: &[u8] = b"lost\0";

/// The positions whose records were lost before the store was rescued by a
/// [`Salvage`](super::Salvage), in order. There stand records named [`LOST_NAME`] with no payload.
///
/// # Errors
/// Damage and failing reads.
pub fn lost_positions(
    storage: &dyn Storage,
) -> Result<Vec<RangeInclusive<Position>>, StorageError> {
    let mut found = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = storage.scan(PREFIX, after.as_deref(), 1024)?;
        found.extend(page.iter().filter_map(|(key, value)| decode(key, value)));
        match page.into_iter().next_back() {
            Some((key, _)) => after = Some(key),
            None => return Ok(found),
        }
    }
}

fn decode(key: &[u8], value: &[u8]) -> Option<RangeInclusive<Position>> {
    let first = u64::from_be_bytes(key.strip_prefix(PREFIX)?.try_into().ok()?);
    let last = u64::from_be_bytes(value.try_into().ok()?);
    Some(Position::new(first)?..=Position::new(last)?)
}

/// The state entry that names a lost range.
pub(super) fn entry(lost: &RangeInclusive<Position>) -> Write {
    let first = lost.start().get().to_be_bytes();
    Write::put([PREFIX, &first].concat(), lost.end().get().to_be_bytes())
}

/// The name of the records that stand where a compaction had dropped some.
const COMPACTED_NAME: &str = "tidings.compacted";

/// What stands where a compaction had dropped a record, which is no loss.
pub(super) fn compacted(at: u64) -> Record {
    let id = MessageId::from_bytes(u128::from(at).to_be_bytes());
    Record { envelope: Envelope::new(COMPACTED_NAME, 1, id).into(), payload: Vec::new() }
}

/// What stands where a record was lost. Its id is its position, so that it is the same every time.
pub(super) fn placeholder(at: u64, time: Timestamp) -> Record {
    let mut envelope =
        Envelope::new(LOST_NAME, 1, MessageId::from_bytes(u128::from(at).to_be_bytes()));
    envelope.published_at = time;
    Record { envelope: envelope.into(), payload: Vec::new() }
}

/// The same range with its end; `None` where there is nothing in it.
pub(super) fn inclusive(range: &Range<u64>) -> Option<RangeInclusive<Position>> {
    (range.start < range.end).then(|| position(range.start)..=position(range.end - 1))
}

/// The same positions as ranges in order that do not touch.
pub(super) fn merge(ranges: &[RangeInclusive<Position>]) -> Vec<RangeInclusive<Position>> {
    let mut ranges: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<Position>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().next() => {
                *last = *last.start()..=(*last.end()).max(*range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> RangeInclusive<Position> {
        position(first)..=position(last)
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let given = [range(7, 9), range(1, 2), range(3, 3), range(8, 12), range(20, 20)];
        assert_eq!(merge(&given), [range(1, 3), range(7, 12), range(20, 20)]);
    }

    #[test]
    fn an_entry_comes_back() {
        let Write { key, value } = entry(&range(5, 70_000));
        assert_eq!(decode(&key, &value.unwrap_or_default()), Some(range(5, 70_000)));
    }
}
