//! Going through the past again: rewinding a subscription, and replays beside live traffic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod dry;
mod replaying;
mod rewinding;
mod simulated;
mod store;
