//! Events whose time is earlier than that of others before them.

use std::time::Duration;

use super::rows::{Recall, RowError};
use crate::{runtime::Timestamp, storage::StorageError};

/// What happens to an event that comes too late: its time lies further behind the latest time seen than the
/// [allowed lateness](super::ProjectionBuilder::allowed_lateness).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Late {
    /// It is handled as any other, and counted. The default.
    #[default]
    Apply,
    /// It is passed over, and counted.
    Ignore,
}

/// How many events came too late, and what was done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LateCounts {
    /// Handled as any other.
    pub applied: u64,
    /// Passed over.
    pub ignored: u64,
    /// Given to what [reconciles](super::ProjectionBuilder::reconcile) them.
    pub reconciled: u64,
}

/// When an event is too late, and what happens then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lateness {
    pub(super) allowed: Duration,
    pub(super) policy: Late,
}

/// How far the time of events has come. Committed with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clock {
    /// The latest time seen: the watermark.
    latest: Option<Timestamp>,
    pub(super) late: LateCounts,
}

impl Clock {
    /// Takes note of an event of that time. True if it is too late.
    pub(super) fn note(&mut self, time: Timestamp, allowed: Duration) -> bool {
        let latest = self.latest.map_or(time, |latest| latest.max(time));
        self.latest = Some(latest);
        time.plus(allowed) < latest
    }

    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// Four numbers; the first is the latest time and one, or 0 before there is any.
    pub(super) fn encode(&self) -> Vec<u8> {
        let latest = self.latest.map_or(0, |latest| latest.as_nanos().saturating_add(1));
        let LateCounts { applied, ignored, reconciled } = self.late;
        let numbers = [latest, applied, ignored, reconciled];
        numbers.into_iter().flat_map(u64::to_be_bytes).collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else { return None };
        let &[latest, applied, ignored, reconciled] = numbers else { return None };
        let latest = u64::from_be_bytes(latest).checked_sub(1).map(Timestamp::from_nanos);
        let [applied, ignored, reconciled] = [applied, ignored, reconciled].map(u64::from_be_bytes);
        Some(Self { latest, late: LateCounts { applied, ignored, reconciled } })
    }

    pub(super) fn read(key: &[u8], recall: &Recall<'_>) -> Result<Self, RowError> {
        let stored = recall(key).map_err(|error: StorageError| RowError::from(error))?;
        stored.map_or(Ok(Self::default()), |stored| Self::decode(&stored).ok_or(RowError::Clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn an_event_is_late_beyond_what_is_allowed_behind_the_latest() {
        let mut clock = Clock::default();
        let seconds = [5, 9, 6, 5, 7, 20, 17, 16];
        let late = seconds.map(|second| clock.note(at(second), Duration::from_secs(3)));
        assert_eq!(late, [false, false, false, true, false, false, false, true]);
        assert_eq!(clock.latest(), Some(at(20)));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let late = LateCounts { applied: 1, ignored: 2, reconciled: 3 };
        for latest in [None, Some(at(0)), Some(at(7))] {
            let clock = Clock { latest, late };
            assert_eq!(Clock::decode(&clock.encode()), Some(clock));
        }
        assert_eq!(Clock::decode(b"what is this"), None);
    }
}
