//! State of a subscription, kept by event key.

use serde::{Serialize, de::DeserializeOwned};

use super::{Context, context::MAX_STAGED, keys};
use crate::storage::{StorageError, Write};

/// State of one subscription and one event key, as named values.
///
/// It belongs to the key of the event being handled. One lane at a time has the key, so reading,
/// deciding and writing needs no lock. Writes commit with the acknowledgement, or not at all. On a
/// volatile bus, and for an ephemeral subscription, it lives as long as the subscription runs.
#[derive(Debug)]
pub struct State<'a> {
    ctx: &'a mut Context,
}

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The event has no key, and others are handled beside it: state would race.
    #[error("state needs an event with a key, or plain handlers on one lane")]
    NoKey,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// This call publishes and stores too much.
    #[error("the handler would publish and store {bytes} bytes, more than {limit}")]
    TooLarge {
        /// How much.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The stored value is of another type, or the new one does not encode.
    #[error("the value of `{name}` is not what is expected: {source}")]
    Value {
        /// The value's name.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl<'a> State<'a> {
    pub(super) fn new(ctx: &'a mut Context) -> Self {
        Self { ctx }
    }

    /// The value of that name.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.ctx.recall(&self.key(name)?)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| value_error(name, source))
    }

    /// Sets the value of that name.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn put<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(value).map_err(|source| value_error(name, source))?;
        let key = self.key(name)?;
        let room = self.ctx.staged.reserve(key.len() + bytes.len());
        room.map_err(|bytes| StateError::TooLarge { bytes, limit: MAX_STAGED })?;
        self.ctx.staged.writes.insert(key, Some(bytes));
        Ok(())
    }

    /// Removes the value of that name.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove(&mut self, name: &str) -> Result<(), StateError> {
        let key = self.key(name)?;
        self.ctx.staged.writes.insert(key, None);
        Ok(())
    }

    fn key(&self, name: &str) -> Result<Vec<u8>, StateError> {
        let key = self.ctx.key();
        if key.is_none() && !self.ctx.subscriber.alone {
            return Err(StateError::NoKey);
        }
        Ok(keys::state(&self.ctx.subscriber.name, key, name))
    }
}

fn value_error(name: &str, source: serde_json::Error) -> StateError {
    StateError::Value { name: name.into(), source }
}

/// For what is built upon subscriptions: values that belong to no event's key. Whoever uses them sees to it
/// that nobody else does meanwhile.
impl Context {
    /// The value of a state key, as this attempt left it, or else the lane, or else storage.
    pub(crate) fn recall(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let staged = self.staged.writes.get(key).or_else(|| self.earlier.get(key));
        staged.map_or_else(|| self.subscriber.recall(key), |value| Ok(value.clone()))
    }

    /// Sets or removes the value of a state key, together with the acknowledgement.
    pub(crate) fn stage(&mut self, write: Write) -> Result<(), StateError> {
        let room = write.key.len() + write.value.as_ref().map_or(0, Vec::len);
        let room = self.staged.reserve(room);
        room.map_err(|bytes| StateError::TooLarge { bytes, limit: MAX_STAGED })?;
        self.staged.writes.insert(write.key, write.value);
        Ok(())
    }
}
