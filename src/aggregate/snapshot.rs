//! States that are kept, so that loading need not read every event.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Aggregate;
use crate::{event::Key, message::Position};

/// What is stored of an aggregate.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Snapshot<A> {
    version: u32,
    /// Of the last event in it.
    pub(super) position: Position,
    /// How many there are in it.
    pub(super) events: u64,
    pub(super) state: A,
}

/// When snapshots are made, and how they are stored.
pub(super) struct Snapshots<A> {
    pub(super) every: u64,
    pub(super) encode: fn(&A, Position, u64) -> Option<Vec<u8>>,
    pub(super) decode: fn(&[u8]) -> Option<Snapshot<A>>,
}

impl<A: Aggregate + Serialize + DeserializeOwned> Snapshots<A> {
    pub(super) fn every(events: u64) -> Self {
        Self { every: events, encode: encode::<A>, decode: decode::<A> }
    }
}

impl<A> fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").field("every", &self.every).finish_non_exhaustive()
    }
}

/// Where it is stored.
pub(super) fn key<A: Aggregate>(key: &Key) -> Vec<u8> {
    let parts = [b"aggregate", A::NAME.as_bytes(), key.as_str().as_bytes()];
    parts.join(&0)
}

fn encode<A: Aggregate + Serialize>(state: &A, position: Position, events: u64) -> Option<Vec<u8>> {
    serde_json::to_vec(&Snapshot { version: A::VERSION, position, events, state }).ok()
}

/// `None` if it is of another version, or none at all.
fn decode<A: Aggregate + DeserializeOwned>(stored: &[u8]) -> Option<Snapshot<A>> {
    let snapshot: Snapshot<A> = serde_json::from_slice(stored).ok()?;
    (snapshot.version == A::VERSION).then_some(snapshot)
}
