//! What is stored of a projection besides its rows.

use serde::{Deserialize, Serialize};

use super::keys;
use crate::{
    journal::Journal,
    message::Position,
    storage::{StorageError, Write},
};

/// What is stored of a projection. Changed by whoever has reserved the name of its reader, alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The number that the next generation gets.
    pub(super) next: u64,
    /// The generation that is served.
    pub(super) served: Option<Generation>,
    pub(super) building: Option<Building>,
    /// Generations whose rows are to be removed.
    pub(super) old: Vec<u64>,
}

/// The rows of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) version: u32,
}

/// A generation that is not served yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Building {
    pub(super) generation: Generation,
    /// Everything before is in its rows.
    pub(super) position: Position,
}

impl Stored {
    pub(super) fn load(journal: &Journal, name: &str) -> Result<Self, StorageError> {
        let stored = journal.get(&keys::record(name))?;
        let decode = |stored: Vec<u8>| serde_json::from_slice(&stored).map_err(|_| damaged());
        stored.map_or(Ok(Self::default()), decode)
    }

    pub(super) fn write(&self, name: &str) -> Result<Write, StorageError> {
        let value = serde_json::to_vec(self).map_err(|_| damaged())?;
        Ok(Write::put(keys::record(name), value))
    }

    /// Begins a generation; one that was being built is given up.
    pub(super) fn begin(&mut self, version: u32, position: Position) {
        self.give_up();
        let generation = Generation { number: self.next, version };
        self.next += 1;
        self.building = Some(Building { generation, position });
    }

    /// The generation that was being built never gets served.
    pub(super) fn give_up(&mut self) {
        self.old.extend(self.building.take().map(|given_up| given_up.generation.number));
    }

    /// Has the generation that was being built served.
    pub(super) fn switch(&mut self) -> Option<Generation> {
        let built = self.building.take()?.generation;
        let before = self.served.replace(built);
        self.old.extend(before.map(|before| before.number));
        Some(built)
    }
}

impl Generation {
    /// As the small value that readers look at.
    pub(super) fn write_served(self, name: &str) -> Write {
        let value = [&self.number.to_be_bytes()[..], &self.version.to_be_bytes()].concat();
        Write::put(keys::served(name), value)
    }

    pub(super) fn served(stored: &[u8]) -> Result<Self, StorageError> {
        let (number, version) = stored.split_first_chunk().ok_or_else(damaged)?;
        let version = version.try_into().map_err(|_| damaged())?;
        let (number, version) = (u64::from_be_bytes(*number), u32::from_be_bytes(version));
        Ok(Self { number, version })
    }
}

fn damaged() -> StorageError {
    let reason = "what is stored of a projection does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}
