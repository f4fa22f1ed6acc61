//! Every storage and every transport passes its conformance suite, and the suites find every lie.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod storages;
mod transports;
