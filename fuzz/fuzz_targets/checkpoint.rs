//! Fuzzes `fuzzing::checkpoint`.
#![no_main]

use tidings::storage::file::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::checkpoint(bytes));
