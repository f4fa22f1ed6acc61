//! Stores that are checked, and rescued: every kind of damage is told, and nothing is given up in
//! silence.
#![allow(clippy::unwrap_used, missing_docs)]

mod salvaging;
mod sample;
mod thinned;
mod verifying;
