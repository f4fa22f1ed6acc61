//! The tool as people and scripts meet it: the built binary, on stores on disk.
#![allow(clippy::unwrap_used, missing_docs)]

mod dead_letters;
mod rescue;
mod run;
mod shop;
mod show;
