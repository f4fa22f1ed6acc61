//! What a user sees of a bus: one file a topic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation)]

mod events;
mod hooked;
mod store;

mod asynchronous;
mod backup;
mod batches;
mod careful;
mod circuit_breaker;
mod classes;
mod compaction;
mod concurrency;
mod dead_letters;
mod dedup;
mod drops;
mod dry_runs;
mod durable;
mod edges;
mod edited_letters;
mod effects;
mod handlers;
mod held_keys;
mod hops;
mod idempotency;
mod inline;
mod lag;
mod lane_changes;
mod lanes;
mod layers;
mod limits;
mod old_letters;
mod overflow;
mod pools;
mod priorities;
mod publishing;
mod rates;
mod requests;
mod retention;
mod retry_storms;
mod room;
mod settled;
mod skipping;
mod stopping;
mod threads;
mod timeouts;
