//! Why a saga could not start, or be asked.

use crate::{
    bus::{Error, SubscribeError},
    event::Key,
    journal::PublishFailure,
    saga::definition::DefinitionError,
    storage::StorageError,
};

/// Why a saga could not start, be asked, or be operated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SagaError {
    /// Its definition is not sound.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// It finds instances by something else than their events' own keys, and was to have several lanes.
    #[error(
        "the saga `{saga}` finds instances of `{event}` with `by`, so that it needs one lane; it was \
         given {lanes}"
    )]
    Lanes {
        /// The saga.
        saga: &'static str,
        /// An event whose instance is found by another key than its own.
        event: &'static str,
        /// How many lanes there were to be.
        lanes: u32,
    },
    /// There are instances whose state cannot be read. Write a `migrate` for their versions.
    #[error("the saga `{saga}` has instances that cannot be read:{}", list(unloadable))]
    Unloadable {
        /// The saga.
        saga: &'static str,
        /// Which.
        unloadable: Vec<Unloadable>,
    },
    /// Its subscription could not start.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no instance of that key.
    #[error("the saga `{saga}` has no instance of key `{key}`")]
    NoInstance {
        /// The saga.
        saga: &'static str,
        /// The key.
        key: Key,
    },
    /// The instance is not in a condition for that.
    #[error("the instance `{key}` of the saga `{saga}` {why}")]
    NotNow {
        /// The saga.
        saga: &'static str,
        /// The key.
        key: Key,
        /// Why not.
        why: String,
    },
    /// The bus is gone.
    #[error("the bus of the saga `{saga}` is gone")]
    Closed {
        /// The saga.
        saga: &'static str,
    },
    /// What an operator asks for could not be published.
    #[error("the saga `{saga}` could not be told: {failure}")]
    Publish {
        /// The saga.
        saga: &'static str,
        /// Why.
        #[source]
        failure: PublishFailure,
    },
}

/// Instances of one version whose state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unloadable {
    /// The version that has written them; `None` where not even that can be read.
    pub version: Option<u32>,
    /// The state that they are in, as far as that can be told.
    pub state: Option<String>,
    /// How many.
    pub instances: u64,
    /// The key of one of them.
    pub example: Key,
    /// Why that one cannot be read.
    pub error: String,
}

fn list(unloadable: &[Unloadable]) -> String {
    let line = |one: &Unloadable| {
        let version = one.version.map_or("?".to_owned(), |version| version.to_string());
        let state = one.state.as_deref().unwrap_or("?");
        let (instances, example, error) = (one.instances, &one.example, &one.error);
        format!("\n  - {instances} of version {version} in `{state}`, such as `{example}`: {error}")
    };
    unloadable.iter().map(line).collect()
}

impl From<SagaError> for Error {
    fn from(error: SagaError) -> Self {
        Self::Saga(Box::new(error))
    }
}
