//! Publishing later: when it happens, that it happens once, and what can be taken back.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod cancelling;
mod events;
mod firing;
mod outliving;
mod recurring;
