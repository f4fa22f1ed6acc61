//! What a lane has done and not yet committed.

use super::{
    Subscriber,
    context::Staged,
    keys,
    ledger::{Settled, Tally},
};
use crate::{
    event::Durability,
    journal::{Cancel, Draft, Later, Transaction},
};

/// What a lane has done and not yet committed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    drafts: Vec<Draft>,
    later: Vec<Later>,
    cancels: Vec<Cancel>,
    pub(super) writes: keys::Writes,
    /// Attempts made, successful or not.
    pub(super) attempts: usize,
    /// Whether an event was settled, or has failed: the cursor is to say so.
    pub(super) changed: bool,
    /// About how much it will take in storage.
    bytes: usize,
    /// Events that are done with once this is committed.
    settled: u64,
    /// How they, and dead letters that were tried again, are done with.
    pub(super) tally: Tally,
}

impl Batch {
    /// Takes over what a handler has staged.
    pub(super) fn merge(&mut self, staged: Staged) {
        self.bytes += staged.bytes;
        self.drafts.extend(staged.drafts);
        self.later.extend(staged.later);
        self.cancels.extend(staged.cancels);
        self.writes.extend(staged.writes);
    }

    /// One more event is done with.
    pub(super) fn settle(&mut self, settled: Settled) {
        self.settle_all(settled, 1);
    }

    /// So many more events are done with.
    pub(super) fn settle_all(&mut self, settled: Settled, events: u64) {
        self.changed |= events > 0;
        self.settled += events;
        self.tally.note_all(settled, events);
    }

    /// A dead letter is done with after all.
    pub(super) fn settle_revived(&mut self, settled: Settled) {
        self.changed = true;
        self.tally.note_revived(settled);
    }

    /// So many more bytes will go into storage.
    pub(super) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.changed && self.stages_nothing()
    }

    fn stages_nothing(&self) -> bool {
        self.drafts.is_empty()
            && self.later.is_empty()
            && self.cancels.is_empty()
            && self.writes.is_empty()
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// About how much there is to commit.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// As a transaction, with the cursor. What a subscription that leaves nothing behind has written
    /// to its state stays in memory.
    ///
    /// A batch that only moves the cursor need not be synced: losing it to a power failure means
    /// handling again, never losing.
    pub(super) fn into_transaction(
        mut self,
        subscriber: &Subscriber,
        cursor: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Transaction {
        if !subscriber.is_stored {
            subscriber.remember(std::mem::take(&mut self.writes));
        }
        let only_cursor = self.stages_nothing();
        if let Some((key, value)) = cursor {
            self.writes.insert(key, Some(value));
        }
        Transaction {
            drafts: self.drafts,
            later: self.later,
            cancels: self.cancels,
            fires: None,
            writes: keys::into_commit(self.writes),
            durability: only_cursor.then_some(Durability::Buffered),
            ..Transaction::default()
        }
    }
}
