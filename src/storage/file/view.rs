//! What is committed: segments, where in them which position is, and the state.

use std::sync::Arc;

use super::{frame::BatchHeader, segment::Segment, state::State};

/// What is committed.
#[derive(Debug)]
pub(super) struct View {
    /// By id, without gaps.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) state: State,
    /// The position that the next record will get.
    pub(super) end: u64,
    pub(super) closed: bool,
}

impl View {
    pub(super) fn new(segments: Vec<Arc<Segment>>, state: State) -> Self {
        Self { segments, state, end: 1, closed: false }
    }

    pub(super) fn segment(&self, id: u64) -> Option<&Arc<Segment>> {
        let first = self.segments.first()?.header.id;
        self.segments.get(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    /// The segment that has a position, or will have it.
    pub(super) fn segment_at(&self, position: u64) -> Option<&Arc<Segment>> {
        let after = self.segments.partition_point(|segment| segment.header.position <= position);
        self.segments.get(after.checked_sub(1)?)
    }

    /// How many bytes the log has.
    pub(super) fn log_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.valid()).sum()
    }

    /// How much of the active segment is used.
    pub(super) fn active_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.valid())
    }

    /// The oldest position that is kept.
    pub(super) fn first(&self) -> u64 {
        self.segments.first().map_or(self.end, |segment| segment.header.position)
    }

    /// Puts a segment in the place of the one with the same id.
    pub(super) fn exchange(&mut self, new: Arc<Segment>) {
        if let Some(old) = self.segments.iter_mut().find(|old| old.header.id == new.header.id) {
            *old = new;
        }
    }

    /// Takes note of a batch, in order.
    pub(super) fn note(&mut self, segment: &Segment, offset: u64, header: &BatchHeader) {
        self.end = header.end_position();
        segment.note(offset, header);
    }
}
