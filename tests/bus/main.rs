//! What a user sees of a bus: one file a topic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod events;
mod store;

mod asynchronous;
mod backup;
mod compaction;
mod drops;
mod durable;
mod edges;
mod handlers;
mod inline;
mod overflow;
mod pools;
mod publishing;
mod retention;
mod room;
mod stopping;
mod threads;
