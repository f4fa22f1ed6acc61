//! What a bridge does with a transport: everything that was published arrives, once, whatever happens.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

mod bridge;
mod relay;
