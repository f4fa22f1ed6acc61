//! Copies of a bus in use, and buses made of copies.

use std::path::Path;

use tidings::{
    Bus, HandlerError,
    storage::{FileStorage, StorageError},
    testing::{MemoryDisk, Simulator},
};

use crate::events::{Placed, SECOND, Seen, placed, seen};

fn open(disk: &MemoryDisk, sim: &Simulator, path: &str) -> Bus {
    let storage = FileStorage::builder(path).disk(disk.clone()).segment_bytes(4096);
    Bus::builder().runtime(sim.runtime()).storage(storage.open().unwrap()).build().unwrap()
}

fn collect(bus: &Bus, list: &Seen<u64>) {
    let list = list.clone();
    bus.subscribe("reader")
        .on(move |e: &Placed| match e.order % 10 {
            7 => Err(HandlerError::reject("sevens are refused")),
            _ => {
                list.lock().push(e.order);
                Ok(())
            }
        })
        .start()
        .unwrap();
}

#[test]
fn a_copy_has_what_was_committed_and_goes_on_from_there() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let bus = open(&disk, &sim, "/original");
    let list = seen();
    collect(&bus, &list);
    for order in 0..100 {
        bus.publish(placed(order, 0)).unwrap();
    }
    sim.run_until_idle();
    bus.enqueue(placed(100, 0)).unwrap().wait().unwrap();
    bus.publish(placed(101, 0)).unwrap();
    bus.backup("/copy").unwrap();
    bus.publish(placed(102, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(list.lock().len(), 93, "the original goes on");
    bus.shutdown(SECOND).unwrap();

    // Twice, since a copy of the copy may be restored again.
    disk.crash(7);
    let restored = open(&disk, &sim, "/copy");
    let list = seen();
    collect(&restored, &list);
    sim.run_until_idle();
    assert_eq!(*list.lock(), [100, 101], "what was handled does not come again");
    assert_eq!(restored.dead_letters("reader").list().unwrap().len(), 10);
    restored.publish(placed(200, 0)).unwrap();
    sim.run_until_idle();
    assert_eq!(*list.lock(), [100, 101, 200]);
}

#[test]
fn a_directory_with_something_in_it_is_not_filled() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let bus = open(&disk, &sim, "/original");
    bus.backup("/copy").unwrap();
    for taken in ["/copy", "/original"] {
        match bus.backup(taken) {
            Err(StorageError::NotEmpty { path }) => assert_eq!(path, Path::new(taken)),
            other => panic!("expected `NotEmpty`, found {other:?}"),
        }
    }
    assert!(matches!(Bus::volatile().backup("/x"), Err(StorageError::Unsupported { .. })));
}

#[test]
fn an_unfinished_copy_is_no_store() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let bus = open(&disk, &sim, "/original");
    for order in 0..200 {
        bus.publish(placed(order, 0)).unwrap();
    }
    sim.run_until_idle();
    let calls = {
        let before = disk.io_count();
        bus.backup("/whole").unwrap();
        disk.io_count() - before
    };
    for n in 1..calls {
        let path = format!("/copy-{n}");
        disk.fail_after(n);
        assert!(bus.backup(&path).is_err(), "call {n} of {calls} failed");
        disk.heal();
        let opened = FileStorage::builder(&path).disk(disk.clone()).open();
        match opened {
            // The name of the manifest may have got through: then everything has.
            Ok(storage) => assert_eq!(storage.recovery().reason, None),
            Err(error) => assert!(matches!(error, StorageError::Corrupt { .. }), "{n}: {error}"),
        }
    }
    bus.publish(placed(1, 1)).unwrap();
}
