//! Stores that earlier builds wrote, kept in `tests/golden`: today's build reads them, a reader that
//! was written from `docs/format.md` alone reads them as well, and today's build writes the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods)] // real files

mod entry;
mod expected;
mod files;
mod reader;
mod script;

use std::path::Path;

use tidings::storage::{FileStorage, Query, Storage};

use crate::{
    entry::Entry,
    files::{Files, load, write},
    script::Left,
};

const STORES: [Left; 2] = [Left::Closed, Left::Killed];

#[test]
fn todays_build_reads_them() {
    for left in STORES {
        let copy = tempfile::tempdir().unwrap();
        write(copy.path(), &load(left));
        let storage = FileStorage::open(copy.path()).unwrap();
        assert_eq!(storage.recovery().reason, None, "{left:?}");
        assert_eq!(storage.recovery().closed, left == Left::Closed);
        let page = storage.read(&Query::from(storage.first())).unwrap();
        let records: Vec<Entry> = page.records.iter().map(|(at, it)| Entry::of(*at, it)).collect();
        same(left, &records, &storage.scan(b"", None, usize::MAX).unwrap());
        assert_eq!(storage.first().get(), expected::FIRST);
        assert_eq!(storage.end().get(), expected::end(left));
    }
}

#[test]
fn a_reader_that_knows_the_description_alone_reads_the_same() {
    for left in STORES {
        let store = reader::read(&load(left));
        let state: Vec<_> = store.state.into_iter().collect();
        same(left, &store.records, &state);
        assert_eq!((store.first, store.end), (expected::FIRST, expected::end(left)));
        assert_eq!(store.closed, left == Left::Closed);
        assert_eq!((store.indexes, store.rewritten, store.removals), (2, 1, 2), "{left:?}");
    }
}

#[test]
fn todays_build_writes_the_same_bytes() {
    for left in STORES {
        let written = script::run(left);
        if std::env::var_os("TIDINGS_WRITE_GOLDEN").is_some() {
            write(&files::golden(left), &written);
        }
        compare(left, &load(left), &written);
    }
}

fn same(left: Left, records: &[Entry], state: &[(Vec<u8>, Vec<u8>)]) {
    let expected = expected::records(left);
    for (found, expected) in records.iter().zip(&expected) {
        assert_eq!(found, expected, "{left:?}");
    }
    assert_eq!(records.len(), expected.len(), "{left:?}");
    assert_eq!(state, expected::state(left), "{left:?}");
}

fn compare(left: Left, golden: &Files, written: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(golden), names(written), "{left:?}: {CHANGED}");
    for (path, bytes) in golden {
        let new = &written[path];
        let differs = bytes.iter().zip(new).position(|(one, other)| one != other);
        let at = differs.unwrap_or(bytes.len().min(new.len()));
        assert!(bytes == new, "{left:?}, {path} at byte {at}: {CHANGED}");
    }
}

const CHANGED: &str = "the bytes that a store has on disk have changed. If what they mean has \
    changed, then raise the version of the format (or add a feature bit), describe it in \
    docs/format.md, keep tests/golden/v1 as it is with the tests that read it, and write another \
    store beside it. If they mean the same, and every older build reads them, write this one again \
    with TIDINGS_WRITE_GOLDEN=1";

#[test]
fn they_are_small() {
    for left in STORES {
        let bytes: usize = load(left).values().map(Vec::len).sum();
        assert!(
            bytes < 16 * 1024,
            "{bytes} bytes in {}",
            Path::new(&files::golden(left)).display()
        );
    }
}
