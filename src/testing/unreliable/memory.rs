//! What a broker has lost, and how its sequences look since.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    message::MessageId,
    runtime::Random,
    transport::{Parcel, Place, Stream, StreamId},
};

/// How many of the last places of a stream are remembered, to be lost.
const REMEMBERED: usize = 1024;

/// What was lost of the streams behind an unreliable transport. What it shows of a place is where the
/// parcel would be, had the broker really lost what it is said to have lost.
#[derive(Debug, Default)]
pub(super) struct Memory {
    streams: BTreeMap<StreamId, Past>,
    /// How often a parcel was lost: to be sent again, it goes by another id each time, lest the broker
    /// take it for a copy.
    losses: BTreeMap<MessageId, u32>,
    /// How often everything was.
    remakes: u32,
    /// The ids by which parcels go, and their own.
    disguises: BTreeMap<MessageId, MessageId>,
}

#[derive(Debug, Default)]
struct Past {
    /// What was lost, from and to, both included.
    lost: Vec<(u128, u128)>,
    /// From which sequence on how much is taken off, in order.
    shifts: Vec<(u128, u128)>,
    /// From which sequence on the stream is another one, in order.
    remade: Vec<u128>,
    last_accepted: VecDeque<(u128, MessageId)>,
}

impl Memory {
    /// A parcel was accepted there.
    pub(super) fn note(&mut self, place: &Place, id: MessageId) {
        let stream = self.streams.entry(place.stream.clone()).or_default();
        if stream.last_accepted.back().is_some_and(|(last, _)| *last >= place.sequence) {
            return;
        }
        stream.last_accepted.push_back((place.sequence, id));
        if stream.last_accepted.len() > REMEMBERED {
            stream.last_accepted.pop_front();
        }
    }

    /// Loses of each stream up to so many of the parcels that it accepted last. Returns how many.
    pub(super) fn forget(&mut self, most: u64) -> u64 {
        let lost = self.streams.values_mut().flat_map(|stream| stream.forget(most));
        let lost: Vec<MessageId> = lost.collect();
        for id in &lost {
            *self.losses.entry(*id).or_default() += 1;
        }
        lost.len() as u64
    }

    /// Loses all there is, and has the streams be others.
    pub(super) fn recreate(&mut self, streams: &[Stream]) {
        self.remakes += 1;
        for Stream { id, last } in streams {
            self.streams.entry(id.clone()).or_default().remake(last.unwrap_or(0));
        }
    }

    /// The place as it is seen, or none if what is there is lost.
    pub(super) fn shown(&self, place: &Place) -> Option<Place> {
        let Some(stream) = self.streams.get(&place.stream) else { return Some(place.clone()) };
        if stream.has_lost(place.sequence) {
            return None;
        }
        let (id, sequence) =
            (stream.id(&place.stream, place.sequence), stream.shown(place.sequence));
        Some(Place { stream: id, sequence })
    }

    /// The stream as it is seen.
    pub(super) fn shown_stream(&self, real: Stream) -> Stream {
        let Some(stream) = self.streams.get(&real.id) else { return real };
        let next = real.last.unwrap_or(0) + 1;
        let last = stream.shown(next).saturating_sub(1);
        Stream { id: stream.id(&real.id, next), last: (last > 0).then_some(last) }
    }

    /// The parcel under the id that it goes by.
    pub(super) fn disguise(&mut self, parcel: &Parcel) -> Parcel {
        let losses = self.losses.get(&parcel.id()).copied().unwrap_or(0);
        if losses == 0 && self.remakes == 0 {
            return parcel.clone();
        }
        let change = u64::from(losses) << 32 | u64::from(self.remakes);
        let mut bytes = parcel.id().to_bytes();
        for half in bytes.as_chunks_mut::<8>().0 {
            *half = Random::new(u64::from_be_bytes(*half) ^ change).next().to_be_bytes();
        }
        let disguise = MessageId::from_bytes(bytes);
        self.disguises.insert(disguise, parcel.id());
        with_id(parcel, disguise)
    }

    /// The parcel under its own id.
    pub(super) fn unmask(&self, parcel: Parcel) -> Parcel {
        match self.disguises.get(&parcel.id()) {
            Some(id) => with_id(&parcel, *id),
            None => parcel,
        }
    }

    /// Has a parcel go by another id from now on.
    pub(super) fn send_again(&mut self, id: MessageId) {
        *self.losses.entry(id).or_default() += 1;
    }
}

fn with_id(parcel: &Parcel, id: MessageId) -> Parcel {
    let mut envelope = (**parcel.envelope()).clone();
    envelope.id = id;
    let changed = Parcel::new(Arc::new(envelope), parcel.payload().to_vec());
    changed.map_or_else(|_| parcel.clone(), |changed| changed.delayed(parcel.delay()))
}

impl Past {
    fn forget(&mut self, most: u64) -> Vec<MessageId> {
        let Some((end, _)) = self.last_accepted.back().copied() else { return Vec::new() };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let kept = self.last_accepted.len().saturating_sub(most);
        let lost = self.last_accepted.split_off(kept);
        if let Some((first, _)) = lost.front() {
            self.lose(*first, end);
        }
        lost.into_iter().map(|(_, id)| id).collect()
    }

    fn remake(&mut self, last: u128) {
        if last > 0 {
            self.lose(1, last);
        }
        self.shifts.push((last + 1, last));
        self.remade.push(last + 1);
        self.last_accepted.clear();
    }

    fn lose(&mut self, first: u128, end: u128) {
        let shift = end + 1 - self.shown(first); // the next one takes its place
        self.lost.push((first, end));
        self.shifts.push((end + 1, shift));
    }

    fn has_lost(&self, sequence: u128) -> bool {
        self.lost.iter().any(|(first, end)| (*first..=*end).contains(&sequence))
    }

    fn shift(&self, sequence: u128) -> u128 {
        let before = self.shifts.iter().rev().find(|(from, _)| *from <= sequence);
        before.map_or(0, |(_, shift)| *shift)
    }

    fn shown(&self, sequence: u128) -> u128 {
        sequence.saturating_sub(self.shift(sequence))
    }

    fn id(&self, real: &StreamId, sequence: u128) -> StreamId {
        match self.remade.iter().filter(|from| **from <= sequence).count() {
            0 => real.clone(),
            times => StreamId::new(format!("{real}, made anew {times} times")),
        }
    }
}
