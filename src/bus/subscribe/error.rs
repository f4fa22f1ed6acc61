//! Why a subscription could not start.

use super::MAX_LANES;
use crate::{contract::NameTaken, policy::Lanes, storage::StorageError};

/// Why a subscription could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The bus was shut down.
    #[error("the bus is shut down")]
    Closed,
    /// A subscription of that name runs already.
    #[error("a subscription named `{name}` runs already; every subscription needs its own name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// There are two handlers for one event.
    #[error("the subscription `{name}` has two handlers for `{event}`")]
    DuplicateHandler {
        /// The subscription.
        name: String,
        /// The event.
        event: String,
    },
    /// A filter or an idempotency key is for an event without a handler in a lane.
    #[error(
        "the subscription `{name}` has a filter or a key for `{event}`, and no handler for it that \
         runs in a lane"
    )]
    Unhandled {
        /// The subscription.
        name: String,
        /// The event.
        event: String,
    },
    /// An event is both handled and ignored.
    #[error("the subscription `{name}` both handles and ignores `{event}`")]
    Ignored {
        /// The subscription.
        name: String,
        /// The event.
        event: String,
    },
    /// A handler was to run where events are published, on a bus that is not volatile.
    #[error(
        "the subscription `{name}` has a handler that runs on publishing threads, which a durable \
         bus cannot keep its promises for; give it with `on`"
    )]
    Inline {
        /// The subscription.
        name: String,
    },
    /// The name is not a good one.
    #[error("`{name}` is not a name for a subscription: use 1 to 128 of a-z A-Z 0-9 . _ -")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// The number of lanes is out of range, or the range of an adaptive one is empty.
    #[error("{lanes} lanes are out of range: 1 to {MAX_LANES}")]
    Lanes {
        /// The number.
        lanes: Lanes,
    },
    /// There are layers, and a handler that they cannot be put around: an async one, one that runs where
    /// events are published, or somebody who pulls.
    #[error(
        "the subscription `{name}` has layers, which cannot be put around its handler for `{event}`: \
         only around one that is given with `on`"
    )]
    Layer {
        /// The subscription.
        name: String,
        /// The event.
        event: String,
    },
    /// Another Rust type has the event's name.
    #[error(transparent)]
    NameTaken(#[from] NameTaken),
    /// The subscription has no handler.
    #[error("the subscription `{name}` has no handler; give it one with `on`")]
    NoHandler {
        /// The subscription.
        name: String,
    },
    /// An async handler was given outside a tokio runtime.
    #[error("an async handler needs a tokio runtime around the call of `on_async`")]
    NoTokio,
    /// A replay was to go through the past of a volatile bus.
    #[error("a volatile bus keeps no past for the replay `{name}` to go through")]
    NoPast {
        /// The name.
        name: String,
    },
    /// A replay was to have the name of a subscription that is stored.
    #[error("`{name}` is a subscription; a replay of the past needs another name")]
    NoReplay {
        /// The name.
        name: String,
    },
    /// A subscription was to have the name of a replay that is stored.
    #[error("`{name}` is a replay; a subscription needs another name")]
    Replay {
        /// The name.
        name: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no such pool.
    #[error("there is no pool named `{pool}`; add it with `Bus::builder().pool(..)`")]
    UnknownPool {
        /// The pool.
        pool: String,
    },
}
