//! Simulated runs of whole flows: what goes wrong in them, what is found, and how it is told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod finding;
mod proving;
mod shop;
