//! A disk that is really full: a small file system, named by `TIDINGS_SMALL_DISK`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Event, PublishFailure,
    storage::{FileStorage, StorageError},
};

/// What is put on the disk beside the store, to be taken away later.
const BALLAST: usize = 3 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "filled", key = "number")]
struct Filled {
    number: u64,
    text: String,
}

/// One test at a time: there is but one small disk.
static TURN: Mutex<()> = Mutex::new(());

fn small_disk(name: &str) -> Option<PathBuf> {
    let Ok(root) = env::var("TIDINGS_SMALL_DISK") else {
        eprintln!("SKIPPED: TIDINGS_SMALL_DISK names no small file system");
        return None;
    };
    let dir = Path::new(&root).join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    Some(dir)
}

fn open(dir: &Path) -> (Bus, Arc<AtomicU64>) {
    let storage = FileStorage::builder(dir).segment_bytes(1024 * 1024).open().unwrap();
    let bus = Bus::builder().storage(storage).build().unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    bus.subscribe("counting")
        .on(move |_: &Filled| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .start()
        .unwrap();
    (bus, handled)
}

fn event(number: u64) -> Filled {
    Filled { number, text: "x".repeat(700) }
}

/// Publishes until there is no room; returns the number that was refused.
fn fill(bus: &Bus, from: u64) -> u64 {
    for number in from.. {
        match bus.publish(event(number)) {
            Ok(_) => {}
            Err(refused) => {
                let full =
                    matches!(refused.failure(), PublishFailure::Storage(StorageError::Full { .. }));
                assert!(full, "{refused}");
                assert_eq!(refused.into_message().into_event(), event(number));
                return number;
            }
        }
        assert!(number < 1_000_000, "the disk is not small");
    }
    unreachable!()
}

#[test]
fn a_full_disk_loses_nothing_and_ends_when_there_is_room() {
    let _turn = TURN.lock();
    let Some(dir) = small_disk("room") else { return };
    fs::create_dir_all(&dir).unwrap();
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; BALLAST]).unwrap();
    // Opening takes a little room, see the README's limits.
    let little = dir.join("little");
    fs::write(&little, vec![1; 64 * 1024]).unwrap();
    let store = dir.join("store");
    let (bus, handled) = open(&store);
    let refused = fill(&bus, 0);
    assert!(refused > 100, "{refused}");
    assert!(bus.wait_idle(Duration::from_secs(30)), "handlers go on with what is left");
    assert_eq!(handled.load(Ordering::Relaxed), refused);
    fs::remove_file(&ballast).unwrap();
    let more = fill(&bus, refused);
    assert!(more > refused, "there was room again");
    assert!(bus.wait_idle(Duration::from_secs(30)));
    drop(bus); // as a crash
    fs::remove_file(&little).unwrap();

    let (bus, handled) = open(&store);
    assert!(bus.wait_idle(Duration::from_secs(30)));
    assert_eq!(handled.load(Ordering::Relaxed), 0, "the cursor was kept as well");
    assert_eq!(bus.end().get() - 1, more, "everything acknowledged is there, and nothing else");
    bus.shutdown(Duration::from_secs(10)).unwrap();
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_store_that_found_no_room_to_begin_with_begins_later() {
    let _turn = TURN.lock();
    let Some(dir) = small_disk("begin") else { return };
    fs::create_dir_all(&dir).unwrap();
    let ballast = dir.join("ballast");
    let file = fs::File::create(&ballast).unwrap();
    let mut size = 0;
    while std::io::Write::write_all(&mut &file, &[1; 4096]).is_ok() {
        size += 4096;
    }
    assert!(size > 0);
    drop(file);
    let store = dir.join("store");
    assert!(FileStorage::open(&store).is_err());
    fs::remove_file(&ballast).unwrap();
    let storage = FileStorage::builder(&store).segment_bytes(1024 * 1024).open().unwrap();
    drop(storage);
    fs::remove_dir_all(&dir).unwrap();
}
