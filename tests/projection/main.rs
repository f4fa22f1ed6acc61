//! Projections, as their users see them.
#![allow(missing_docs, clippy::unwrap_used)]

mod building;
mod late;
mod living;
mod shop;
mod simulated;
mod sinks;
