//! Every storage and every transport passes its conformance suite, and the suites find every lie.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

/// A test of each lie: it is found by the check that is about it. `FOUND_BY` has these checks.
macro_rules! lies {
    ($($test:ident: $lie:expr, $check:ident;)*) => {
        $(#[test]
        fn $test() {
            finds($lie, stringify!($check));
        })*

        pub(super) const FOUND_BY: &[&str] = &[$(stringify!($check)),*];
    };
}

/// A lie that is told by the methods that it overrides.
macro_rules! lie {
    ($(#[$doc:meta])* $name:ident; $($item:item)*) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        struct $name;

        impl Lie for $name {
            $($item)*
        }
    };
}

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

/// A check that no liar fails proves nothing.
#[track_caller]
fn every_check_finds_a_liar(checks: &[&str], found_by: &[&[&str]]) {
    let idle: Vec<_> = checks.iter().filter(|check| !found_by.concat().contains(check)).collect();
    assert!(idle.is_empty(), "there is no liar for {idle:#?}");
}
