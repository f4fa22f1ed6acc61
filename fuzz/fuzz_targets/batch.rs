//! Fuzzes `fuzzing::batch`.
#![no_main]

use tidings::storage::file::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::batch(bytes));
