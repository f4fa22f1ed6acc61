//! Sagas as a user sees them: one file a topic.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fulfilment;
mod world;

mod booking;
mod compensating;
mod correlating;
mod crashing;
mod deferring;
mod defining;
mod halting;
mod late;
mod linear;
mod missing;
mod operating;
mod running;
mod shops;
mod timers;
mod trying;
mod unreadable;
mod versions;
