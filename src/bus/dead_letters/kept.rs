//! Where dead letters are.

use std::sync::Arc;

use crate::{
    delivery::{DeadLetterStore, Subscriber},
    journal::{Draft, Places, Rejected},
    message::Position,
    storage::StorageError,
};

/// The dead letters of a subscription that runs, or of one that does not.
pub(super) enum Kept {
    Running(Arc<Subscriber>),
    Stored(DeadLetterStore),
}

impl Kept {
    pub(super) fn letters(&self) -> &DeadLetterStore {
        match self {
            Self::Running(subscriber) => &subscriber.dead,
            Self::Stored(letters) => letters,
        }
    }

    /// Gives a letter up, and publishes what comes in its place: both or nothing. `None` where there
    /// is none.
    pub(super) fn replace(
        &self,
        position: Position,
        drafts: Vec<Draft>,
    ) -> Result<Option<Places>, Rejected> {
        match self {
            Self::Running(subscriber) => subscriber.replace(position, drafts),
            Self::Stored(letters) => {
                Ok(letters.replace(position, drafts)?.map(|(places, _)| places))
            }
        }
    }

    /// Gives a letter up. False where there is none.
    pub(super) fn discard(&self, position: Position) -> Result<bool, StorageError> {
        let replaced = self.replace(position, Vec::new());
        replaced.map(|places| places.is_some()).map_err(|rejected| rejected.failure.into_storage())
    }
}
