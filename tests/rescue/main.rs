//! Stores that are checked, and rescued: every kind of damage is told, and nothing is given up in
//! silence.
#![allow(clippy::unwrap_used, missing_docs)]

mod manifests;
mod salvaging;
mod sample;
mod targets;
mod thinned;
mod verifying;
