//! Stores whose process ends without closing them.

use std::{
    env, fs,
    fs::File,
    io,
    path::Path,
    process::{self, Command},
};

use crate::{
    participants::OPENED,
    store::{self, Payloads},
};

/// How many events a batch has.
pub(crate) const BATCH: usize = 1000;

const FILL: &str = "--fill-and-end";

/// Fills a store with so many batches, in a process of its own, which then ends without closing it.
pub(crate) fn fill(name: &str, dir: &Path, batches: usize) {
    let mut command = Command::new(env::current_exe().unwrap());
    let status = command.args([FILL, name]).arg(dir).arg(batches.to_string()).status().unwrap();
    assert!(status.success(), "{name} could not be filled");
}

/// Does what [`fill`] asks of the other process. False in the process that asks.
pub(crate) fn fill_if_told_to() -> bool {
    let arguments: Vec<String> = env::args().collect();
    let [_, told, name, dir, batches] = &arguments[..] else { return false };
    if told != FILL {
        return false;
    }
    let reader = OPENED.iter().find(|reader| reader.name == name).unwrap();
    let store = (reader.fill)(Path::new(dir));
    store::fill(&*store, &Payloads::of(100), batches.parse().unwrap(), BATCH);
    process::exit(0) // nothing is dropped, as in a crash
}

/// Copies a directory, and has the copy on disk.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

/// The bytes of all files, without the zeros that some are filled up with.
pub(crate) fn used_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        bytes += if path.is_dir() {
            used_bytes(&path)?
        } else {
            let content = fs::read(&path)?;
            content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
        };
    }
    Ok(bytes)
}
