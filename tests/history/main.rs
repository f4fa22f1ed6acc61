//! Reading what was published before, and appending to it on a condition.
#![allow(missing_docs, clippy::unwrap_used)]

mod reading;
mod retention;
mod store;
