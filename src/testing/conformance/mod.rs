//! What every storage and every transport must do, as tests that anybody can run against their own:
//! [`storage_conformance!`](crate::storage_conformance) and
//! [`transport_conformance!`](crate::transport_conformance) make a test of each check.

mod storage;
mod transport;

use std::fmt::Debug;

pub use storage::{Crash, STORAGE_CHECKS, StorageFaults, StorageFixture, storage, storage_check};
pub use transport::{TRANSPORT_CHECKS, TransportFixture, transport, transport_check};

/// A check, named by the sentence that it proves.
type Check<F> = fn(&F);

/// One test for each check; the arguments are as the suites' own macros give them.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (
        $run:ident $attributes:tt $name:ident, $fixture:expr,
        $($area:ident: { $($check:ident)* })*
    ) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $($($crate::__conformance_tests! { $run $attributes $check, $fixture })*)*
        }
    };
    ($run:ident [$(#[$attribute:meta])*] $check:ident, $fixture:expr) => {
        #[test]
        $(#[$attribute])*
        fn $check() {
            $crate::testing::conformance::$run(stringify!($check), || $fixture);
        }
    };
}

fn run<F>(suite: &'static str, name: &'static str, check: Check<F>, fixture: &F) {
    let running = Running { suite, name };
    check(fixture);
    drop(running);
}

/// Says which check it was when one panics.
struct Running {
    suite: &'static str,
    name: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let sentence = self.name.replace('_', " ");
            eprintln!("{} conformance: this does not hold: {sentence}", self.suite);
        }
    }
}

/// Says that a check did not look, and why.
fn skip(why: &str) {
    eprintln!("not checked: {why}");
}

#[track_caller]
#[allow(clippy::needless_pass_by_value)] // reads better where it is called
fn same<T: PartialEq + Debug>(found: T, expected: T, what: &str) {
    assert!(found == expected, "{what}: expected {expected:?}, found {found:?}");
}

/// Runs the same work on several threads at once, each with its number from 0.
#[allow(clippy::disallowed_methods)] // not the threads of what is under test, but of who calls it
fn run_threads(threads: u64, work: &(impl Fn(u64) + Sync)) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || work(thread));
        }
    });
}
