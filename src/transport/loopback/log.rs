//! One stream: parcels in the order of their sequences, and what is still kept of them.

use std::collections::VecDeque;

use crate::{
    runtime::Tick,
    transport::{Parcel, Place, Stream, StreamId},
};

/// A parcel as it lies in its stream.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) parcel: Parcel,
    pub(super) place: Place,
    /// Not delivered before.
    pub(super) due: Tick,
}

/// A stream, whose sequences are dense from 1.
#[derive(Debug)]
pub(super) struct Log {
    id: StreamId,
    stored: VecDeque<Stored>,
    /// The sequence of the oldest that is kept, or of the next one.
    first: u64,
}

impl Log {
    pub(super) fn new(id: StreamId) -> Self {
        Self { id, stored: VecDeque::new(), first: 1 }
    }

    /// The sequence of the oldest that is kept.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The sequence of the next one.
    pub(super) fn end(&self) -> u64 {
        self.first + self.stored.len() as u64
    }

    pub(super) fn state(&self) -> Stream {
        let last = (self.end() > 1).then(|| u128::from(self.end() - 1));
        Stream { id: self.id.clone(), last }
    }

    pub(super) fn push(&mut self, parcel: Parcel, due: Tick) -> Place {
        let place = Place { stream: self.id.clone(), sequence: self.end().into() };
        self.stored.push_back(Stored { parcel, place: place.clone(), due });
        place
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Stored> {
        let at = sequence.checked_sub(self.first)?;
        self.stored.get(usize::try_from(at).ok()?)
    }

    /// Drops the oldest, and returns how many bytes that is.
    pub(super) fn drop_oldest(&mut self) -> usize {
        let Some(oldest) = self.stored.pop_front() else { return 0 };
        self.first += 1;
        oldest.parcel.bytes()
    }
}
