//! Every storage and every transport passes its conformance suite, and the suites find every lie.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod broken_storages;
mod broken_transports;
mod storages;
mod transports;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A check fails for a liar. With `TIDINGS_ALL_CHECKS` set, says which others do.
#[track_caller]
fn is_found(liar: &str, check: &str, checks: &[&str], run: impl Fn(&str)) {
    assert!(checks.contains(&check), "`{check}` is no check");
    let fails = |check: &str| catch_unwind(AssertUnwindSafe(|| run(check))).is_err();
    if std::env::var_os("TIDINGS_ALL_CHECKS").is_some() {
        let found: Vec<_> = checks.iter().filter(|check| fails(check)).collect();
        println!("{liar}: {found:#?}");
    }
    assert!(fails(check), "{liar} passes `{check}`");
}
