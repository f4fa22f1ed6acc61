//! What is committed: segments, a sparse index into them, and the state.

use std::sync::Arc;

use super::{frame::BatchHeader, segment::Segment};
use crate::storage::state::State;

/// How far apart the marks of the index are, in bytes.
const MARK_EVERY: u64 = 16 * 1024;

/// What is committed.
#[derive(Debug)]
pub(super) struct View {
    /// By id, without gaps.
    pub(super) segments: Vec<Arc<Segment>>,
    marks: Vec<Mark>,
    pub(super) state: State,
    /// The position that the next record will get.
    pub(super) end: u64,
    pub(super) closed: bool,
}

/// Where the batch with this seq begins, and with which position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) seq: u64,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl View {
    pub(super) fn new(state: State) -> Self {
        Self {
            segments: Vec::new(),
            marks: Vec::new(),
            state,
            end: 1,
            closed: false,
        }
    }

    pub(super) fn segment(&self, id: u64) -> Option<&Arc<Segment>> {
        let first = self.segments.first()?.header.id;
        self.segments
            .get(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    /// Takes note of a batch, in order.
    pub(super) fn note(&mut self, segment: u64, offset: u64, header: &BatchHeader) {
        self.end = header.end_position();
        let near = |mark: &Mark| mark.segment == segment && offset - mark.offset < MARK_EVERY;
        if !self.marks.last().is_some_and(near) {
            self.marks.push(Mark {
                position: header.position,
                seq: header.seq,
                segment,
                offset,
            });
        }
    }

    /// The last mark at or before a position.
    pub(super) fn mark_at(&self, position: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.position <= position);
        self.marks.get(after.checked_sub(1)?).copied()
    }

    /// The last mark at or before a seq.
    pub(super) fn mark_at_seq(&self, seq: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.seq <= seq);
        self.marks.get(after.checked_sub(1)?).copied()
    }
}
