//! What fuzzing was started from, and what it found, run again: `fuzz/corpus` and `fuzz/regressions`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

use tidings::storage::file::fuzzing;

fn files(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut files = Vec::new();
    for folder in ["corpus", "regressions"] {
        let Ok(entries) = fs::read_dir(fuzz.join(folder).join(target)) else { continue };
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

fn run(target: &str, function: fn(&[u8])) {
    let files = files(target);
    assert!(!files.is_empty(), "fuzz/corpus/{target} is empty");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        assert!(catch_unwind(|| function(&bytes)).is_ok(), "{} fails", file.display());
    }
}

#[test]
fn segments() {
    run("segment", fuzzing::segment);
}

#[test]
fn batches() {
    run("batch", fuzzing::batch);
}

#[test]
fn manifests() {
    run("manifest", fuzzing::manifest);
}

#[test]
fn checkpoints() {
    run("checkpoint", fuzzing::checkpoint);
}

#[test]
fn indexes() {
    run("index", fuzzing::index);
}

#[test]
fn images() {
    run("image", fuzzing::image);
}

#[test]
fn no_bytes_at_all() {
    fuzzing::segment(&[]);
    fuzzing::batch(&[]);
    fuzzing::manifest(&[]);
    fuzzing::checkpoint(&[]);
    fuzzing::index(&[]);
    fuzzing::image(&[]);
}
