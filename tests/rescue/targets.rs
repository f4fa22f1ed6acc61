//! Where a store is rescued to.

use std::path::Path;

use tidings::{
    storage::{
        FileStorage, Storage, StorageError,
        file::{Disk, Salvage, SalvageError},
    },
    testing::{Fault, MemoryDisk},
};

use crate::sample::{Sample, commit, dump, open, reader};

#[test]
fn what_is_rescued_is_kept_up_meanwhile() {
    let disk = MemoryDisk::new();
    let storage = FileStorage::builder("/store").disk(disk.clone()).open().unwrap();
    for number in 1..=5 {
        let mut large = commit(number);
        large.records[0].payload = vec![7; 600_000];
        storage.commit(large).unwrap();
    }
    storage.close().unwrap();
    disk.kill();
    let sample = Sample { disk, count: 5 };
    assert_eq!(sample.salvage().run(|_| ()).unwrap().records, 5);
    let sealed = sample.disk.files().into_iter().filter(|path| path.starts_with("/rescued"));
    let indexed = sealed.filter(|path| path.extension().is_some_and(|found| found == "idx"));
    assert!(indexed.count() > 0, "{:?}", sample.disk.files());
}

#[test]
fn only_an_empty_place_and_a_free_source_will_do() {
    let sample = Sample::new(true);
    let storage = open(&sample.disk, "/store");
    let busy = sample.salvage().run(|_| ());
    assert!(matches!(busy, Err(SalvageError::Storage(StorageError::InUse { .. }))), "{busy:?}");
    storage.close().unwrap();
    let inside = Salvage::new("/store", "/store/new");
    let inside = inside.disk(sample.disk.clone()).run(|_| ());
    assert!(matches!(inside, Err(SalvageError::Inside { .. })), "{inside:?}");
    sample.disk.create_dir_all(Path::new("/rescued")).unwrap();
    Sample { disk: sample.disk.copy(), count: 0 }.salvage().run(|_| ()).unwrap();
    sample.disk.set_contents("/rescued/note", "mine");
    let full = sample.salvage().run(|_| ());
    assert!(matches!(full, Err(SalvageError::NotEmpty { .. })), "{full:?}");
    sample.disk.fail(Fault::at(1).once());
    let unknown = sample.salvage().run(|_| ());
    assert!(matches!(unknown, Err(SalvageError::Storage(_))), "{unknown:?}");
}

#[test]
fn what_is_rescued_is_durable_and_a_store_of_its_own() {
    let sample = Sample::new(true);
    let id = |path| reader(&sample.disk, path).info().unwrap().id;
    for path in ["/one", "/two"] {
        Salvage::new("/store", path).disk(sample.disk.clone()).run(|_| ()).unwrap();
    }
    assert!(id("/one") != id("/two") && id("/one") != id("/store"));
    let after = sample.disk.after_power_loss(|_| false);
    assert_eq!(dump(&open(&after, "/one")), dump(&reader(&sample.disk, "/store")));
}

#[test]
fn an_unfinished_target_is_no_store() {
    let sample = Sample::new(true);
    let before = sample.disk.io_count();
    let whole = sample.disk.copy();
    Sample { disk: whole.clone(), count: sample.count }.salvage().run(|_| ()).unwrap();
    let calls = whole.io_count() - before;
    for call in (1..=calls).step_by(3) {
        let disk = sample.disk.copy();
        disk.fail(Fault::at(call).stop());
        let cut = Sample { disk, count: sample.count };
        let result = cut.salvage().run(|_| ());
        cut.disk.heal();
        assert_eq!(cut.image(), sample.image(), "call {call}");
        cut.disk.crash(call);
        let has_log = cut.disk.files().iter().any(|path| path.starts_with("/rescued/segments"));
        let opened = tidings::storage::FileReader::open_on(cut.disk.clone(), "/rescued");
        match opened {
            Ok(reader) => assert_eq!(dump(&reader).len() as u64, sample.count, "call {call}"),
            Err(error) => assert!(result.is_err(), "call {call}: {error}"),
        }
        let opened = tidings::storage::FileStorage::builder("/rescued").disk(cut.disk).open();
        assert!(!has_log || opened.is_err() || opened.unwrap().end().get() > sample.count);
    }
}
