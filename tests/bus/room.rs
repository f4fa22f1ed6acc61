//! A full disk: what is refused, what goes on, and how it ends.

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Durability, Event, Message, PublishFailure,
    storage::{FileStorage, StorageError},
    testing::{MemoryDisk, Simulator},
};

use crate::events::{Placed, SECOND, Shipped, placed, seen};

fn open(disk: &MemoryDisk, sim: &Simulator) -> Bus {
    let storage = FileStorage::builder("store").disk(disk.clone()).segment_bytes(256 * 1024);
    Bus::builder().runtime(sim.runtime()).storage(storage.open().unwrap()).build().unwrap()
}

fn used(disk: &MemoryDisk) -> u64 {
    disk.files().iter().map(|path| disk.contents(path).unwrap().len() as u64).sum()
}

/// Publishes until the disk is full; returns how many were accepted.
fn fill(bus: &Bus) -> u64 {
    for order in 0..100_000 {
        if let Err(refused) = bus.publish(placed(order, 0)) {
            let full = PublishFailure::Storage(StorageError::Full { bytes: 0 });
            assert_eq!(
                std::mem::discriminant(refused.failure()),
                std::mem::discriminant(&full),
                "{refused}"
            );
            assert_eq!(refused.into_message().into_event(), placed(order, 0));
            return order;
        }
    }
    panic!("the disk never was full");
}

#[test]
fn a_full_disk_refuses_publishes_and_hands_them_back_until_there_is_room() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let bus = open(&disk, &sim);
    disk.set_capacity(Some(used(&disk) + 400_000));
    let accepted = fill(&bus);
    assert!(accepted > 100, "{accepted}");
    disk.set_capacity(None);
    bus.publish(placed(accepted, 1)).unwrap();
    let all = seen();
    let list = all.clone();
    bus.subscribe("reader").on(move |e: &Placed| list.lock().push(e.order)).start().unwrap();
    sim.run_until_idle();
    assert_eq!(*all.lock(), (0..=accepted).collect::<Vec<_>>());
}

#[test]
fn handlers_go_on_with_what_is_left_of_a_full_disk() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let bus = open(&disk, &sim);
    let handled = seen();
    let list = handled.clone();
    let reader =
        bus.subscribe("reader").on(move |e: &Placed| list.lock().push(e.order)).start().unwrap();
    disk.set_capacity(Some(used(&disk) + 300_000));
    let accepted = fill(&bus);
    sim.run_until_idle();
    assert_eq!(handled.lock().len() as u64, accepted);
    assert_eq!(reader.lag(), 0, "the cursor is kept");
    sim.crash();
    disk.kill();
    drop(bus);
    let handled = seen();
    let list = handled.clone();
    disk.set_capacity(None);
    let bus = open(&disk, &sim);
    bus.subscribe("reader").on(move |e: &Placed| list.lock().push(e.order)).start().unwrap();
    sim.run_until_idle();
    assert!(handled.lock().is_empty(), "and so nothing comes again");
}

#[test]
fn handlers_that_find_no_room_at_all_wait_for_it() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let bus = open(&disk, &sim);
    bus.subscribe("worker")
        .on(|e: &Placed, ctx: &mut tidings::Context| {
            let text = "x".repeat(2000);
            ctx.publish(Message::new(Shipped { order: e.order }).header("text", &text))?;
            Ok::<(), tidings::HandlerError>(())
        })
        .start()
        .unwrap();
    let shipped = seen();
    let list = shipped.clone();
    bus.subscribe("reader").on(move |e: &Shipped| list.lock().push(e.order)).start().unwrap();
    disk.set_capacity(Some(used(&disk) + 300_000));
    let accepted = fill(&bus);
    sim.advance(SECOND * 5);
    assert!((shipped.lock().len() as u64) < accepted, "there is not enough room for all");
    disk.set_capacity(None);
    sim.run_until_idle();
    assert_eq!(*shipped.lock(), (0..accepted).collect::<Vec<_>>());
}

#[test]
fn an_event_may_ask_for_less_or_more_than_the_bus_promises() {
    let sync_count = |durability, level: Option<Durability>| {
        let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
        let storage = FileStorage::builder("store").disk(disk.clone()).open().unwrap();
        let builder = Bus::builder().runtime(sim.runtime()).storage(storage);
        let bus = builder.durability(durability).build().unwrap();
        disk.record_trace();
        let message = Message::new(placed(1, 0));
        bus.publish(match level {
            Some(level) => message.durability(level),
            None => message,
        })
        .unwrap();
        disk.trace().iter().filter(|call| call.to_string().starts_with("sync ")).count()
    };
    assert_eq!(sync_count(Durability::Synced, None), 1);
    assert_eq!(sync_count(Durability::Synced, Some(Durability::Buffered)), 0);
    assert_eq!(sync_count(Durability::Buffered, None), 0);
    assert_eq!(sync_count(Durability::Buffered, Some(Durability::Synced)), 1);
}

#[test]
fn what_is_too_much_for_one_commit_is_written_in_several() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let storage = FileStorage::builder("store").disk(disk).open().unwrap();
    let bus = Bus::builder().runtime(sim.runtime()).storage(storage).build().unwrap();
    let letter = |number| Message::new(Letter { number, text: "x".repeat(3 << 20) });
    let pending: Vec<_> = (0..8).map(|number| bus.enqueue(letter(number)).unwrap()).collect();
    sim.run_until_idle();
    for (position, letter) in (1..).zip(pending) {
        assert_eq!(letter.wait().unwrap().position.get(), position);
    }
}

/// Those that are refused leave room in the queue for others.
#[test]
fn what_is_refused_for_a_full_disk_waits_no_longer() {
    let (disk, sim) = (MemoryDisk::new(), Simulator::new(1));
    let storage = FileStorage::builder("store").disk(disk.clone()).open().unwrap();
    let builder = Bus::builder().runtime(sim.runtime()).storage(storage).queue(8);
    let bus = builder.build().unwrap();
    bus.publish(placed(0, 0)).unwrap();
    disk.set_capacity(Some(used(&disk)));
    let large = |number: u64| Message::new(Letter { number, text: "x".repeat(3 << 20) });
    for _ in 0..3 {
        let pending: Vec<_> = (0..8).map(|number| bus.enqueue(large(number)).unwrap()).collect();
        sim.run_until_idle();
        for refused in pending {
            let refused = refused.wait().unwrap_err();
            let is_full =
                |failure: &_| matches!(failure, PublishFailure::Storage(StorageError::Full { .. }));
            assert!(is_full(refused.failure()), "{refused}");
        }
    }
    disk.set_capacity(None);
    bus.enqueue(large(9)).unwrap().wait().unwrap();
    assert!(bus.wait_idle(SECOND));
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "letters")]
struct Letter {
    number: u64,
    text: String,
}
