//! Reading what was published before, and appending to it on a condition, and aggregates, which do both.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::option_option
)]

mod aggregates;
mod conditional;
mod reading;
mod retention;
mod store;
