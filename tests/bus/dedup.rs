//! Publishing the same thing once, however often a publisher tries.

use std::{sync::Arc, thread};

use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Context, Durability, Event, HandlerError, Message, MessageId, PublishFailure, Window,
    storage::MemoryStorage,
};

use crate::{
    events::{Placed, Shipped, Tick, placed, seen, simulated},
    store::Store,
};

fn keyed(tick: u64, key: &str) -> Message<Tick> {
    Message::new(Tick(tick)).idempotency_key(key)
}

/// The same message again gets the same receipt.
#[test]
fn e1_a_copy_gets_the_receipt_of_the_original() {
    let (_sim, volatile) = simulated(1);
    for bus in [volatile, Store::new().open()] {
        let first = bus.publish(keyed(1, "a")).unwrap();
        bus.publish(Tick(1)).unwrap();
        assert_eq!(bus.publish(keyed(1, "a")).unwrap(), first);
        assert_eq!(bus.enqueue(keyed(1, "a")).unwrap().wait().unwrap(), first);
        let other = bus.publish(keyed(1, "b")).unwrap();
        assert_eq!(other.position.get(), 3);
        let same_key = Message::new(placed(1, 1)).idempotency_key("a");
        assert_eq!(bus.publish(same_key).unwrap().position.get(), 4, "of another event");

        let id = MessageId::from_bytes([7; 16]);
        let with_id = bus.publish(Message::new(Tick(9)).id(id)).unwrap();
        assert_eq!(bus.publish(Message::new(Tick(9)).id(id)).unwrap(), with_id);
        assert_eq!((with_id.id, bus.end().get()), (id, 6));
    }
}

#[test]
fn copies_within_a_batch_are_taken_out_of_it() {
    let (_sim, volatile) = simulated(1);
    for bus in [volatile, Store::new().open()] {
        let old = bus.publish(keyed(1, "a")).unwrap();
        let batch = [keyed(2, "b"), keyed(1, "a"), keyed(2, "b"), keyed(3, "c")];
        let receipts = bus.publish_all(batch).unwrap();
        let positions: Vec<_> = receipts.iter().map(|receipt| receipt.position.get()).collect();
        assert_eq!(positions, [2, 1, 2, 3]);
        assert_eq!((receipts[1], receipts[2]), (old, receipts[0]));
        assert_eq!(bus.publish_all([keyed(3, "c")]).unwrap(), receipts[3..]);
        assert_eq!(bus.end().get(), 4);
    }
}

/// A copy fails with the commit that its original is in, or that it was to be looked up for.
#[test]
fn copies_are_handed_back_where_the_disk_fails() {
    let store = Store::new();
    let bus = store.open();
    bus.publish(keyed(1, "a")).unwrap();
    store.disk.fail_after(0);
    let under_way =
        [keyed(2, "b"), keyed(2, "b"), keyed(1, "a")].map(|it| bus.enqueue(it).unwrap());
    for (under_way, tick) in under_way.into_iter().zip([2, 2, 1]) {
        assert_eq!(under_way.wait().unwrap_err().into_event(), Tick(tick));
    }
    let batch = [keyed(3, "c"), keyed(1, "a"), keyed(3, "c"), keyed(4, "d")];
    let error = bus.publish_all(batch).unwrap_err();
    let ticks: Vec<_> = error.into_messages().into_iter().map(Message::into_event).collect();
    assert_eq!(ticks, [3, 1, 3, 4].map(Tick));
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "texts")]
struct Text(String);

/// Nothing of it is taken for published, then or later.
#[test]
fn what_is_refused_as_too_large_is_no_original() {
    let bus = Bus::builder().storage(MemoryStorage::new()).build().unwrap();
    let text =
        |number: u64| Message::new(Text("x".repeat(60_000))).idempotency_key(number.to_string());
    let refused = bus.publish_all((0..300).map(text)).unwrap_err();
    assert!(matches!(refused.failure(), PublishFailure::Storage(_)), "{}", refused.failure());
    let messages = refused.into_messages();
    for message in messages {
        bus.publish(message).unwrap();
    }
    assert_eq!(bus.end().get(), 301, "each is an event of its own");
}

/// A key that stands for something else is an error, and nothing of its batch is published.
#[test]
fn e1_another_payload_under_a_known_key_is_refused() {
    let bus = Store::new().open();
    bus.publish(keyed(1, "a")).unwrap();
    let error = bus.publish(keyed(2, "a")).unwrap_err();
    let text = "`a` was published before with another payload, at position 1";
    assert_eq!(error.failure().to_string(), text);
    assert_eq!(error.into_event(), Tick(2));
    let error = bus.publish_all([keyed(5, "e"), keyed(2, "a")]).unwrap_err();
    assert!(matches!(error.failure(), PublishFailure::IdempotencyConflict { .. }));
    assert_eq!(error.into_messages().len(), 2);
    assert_eq!(bus.publish(keyed(6, "e")).unwrap().position.get(), 2, "`e` was not published");
    let long = bus.publish(keyed(1, &"k".repeat(1025))).unwrap_err();
    assert!(matches!(long.failure(), PublishFailure::IdempotencyKeyTooLong { bytes: 1025 }));
}

#[test]
fn copies_are_known_after_a_restart_and_within_the_window() {
    let store = Store::new();
    let open = || {
        let builder = Bus::builder().runtime(store.sim.runtime()).storage(store.storage());
        builder.dedup_window(Window::last(2)).build().unwrap()
    };
    let bus = open();
    let receipts: Vec<_> = [(1, "a"), (2, "b"), (3, "c")]
        .map(|(tick, key)| bus.publish(keyed(tick, key)).unwrap())
        .into();
    store.kill(bus);
    let bus = open();
    assert_eq!(bus.publish(keyed(2, "b")).unwrap(), receipts[1]);
    assert_eq!(bus.publish(keyed(3, "c")).unwrap(), receipts[2]);
    assert_eq!(bus.publish(keyed(1, "a")).unwrap().position.get(), 4, "two are remembered");
    assert_eq!(bus.publish(keyed(9, "b")).unwrap().position.get(), 5);
}

/// Whether a publish that failed survived or not, publishing it again as it was handed back makes
/// one event.
#[test]
fn e2_a_message_that_is_handed_back_is_published_once() {
    let mut failed = 0;
    for fails_after in 0..40 {
        let store = Store::new();
        let bus = store.open();
        bus.publish(Tick(0)).unwrap();
        store.disk.fail_after(fails_after);
        let Err(error) = bus.publish(keyed(1, "a")) else { continue };
        let message = error.into_message();
        store.sim.crash();
        store.disk.crash(fails_after);
        drop(bus);
        store.disk.heal();
        let bus = store.open();
        let first = bus.publish(message.clone()).unwrap();
        assert_eq!(bus.publish(message).unwrap(), first);
        let ticks = seen();
        let heard = Arc::clone(&ticks);
        bus.subscribe("all").on(move |tick: &Tick| heard.lock().push(tick.0)).start().unwrap();
        store.sim.run_until_idle();
        assert_eq!(*ticks.lock(), [0, 1], "after {fails_after} calls");
        failed += 1;
    }
    assert!(failed > 0);
}

/// Of copies that are published at once, one is in the journal.
#[test]
fn f15_copies_from_many_threads_are_one_event() {
    let dir = tempfile::tempdir().unwrap();
    let durable = Bus::builder().durability(Durability::Buffered).open(dir.path()).unwrap();
    for bus in [Bus::builder().ring(64).build().unwrap(), durable] {
        let counter = bus.subscribe("all").on(|_: &Tick| ()).start().unwrap();
        let publish = |_| {
            let bus = bus.clone();
            let publish = move |key: u64| bus.publish(keyed(key, &key.to_string())).unwrap();
            thread::spawn(move || (0..500).map(publish).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..4).map(publish).collect();
        let receipts: Vec<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(receipts.iter().all(|other| *other == receipts[0]));
        assert!(bus.wait_idle(std::time::Duration::from_secs(20)));
        assert_eq!(counter.ledger().matched, 500);
    }
}

/// What a handler publishes under a known key is in the journal already, and the handler has done
/// its work: even where the payload is another one.
#[test]
fn handlers_may_publish_copies() {
    let store = Store::new();
    let bus = store.open();
    bus.publish(Message::new(Shipped { order: 1 }).idempotency_key("ship")).unwrap();
    let reader = bus
        .subscribe("reader")
        .on(|event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            ctx.publish(Message::new(Shipped { order: event.order }).idempotency_key("ship"))?;
            ctx.publish(Shipped { order: 10 + event.order })?;
            Ok(())
        })
        .start()
        .unwrap();
    bus.publish_all([placed(1, 0), placed(2, 0)]).unwrap();
    store.sim.run_until_idle();
    assert_eq!(reader.ledger().acknowledged, 2);
    let shipped = seen();
    let heard = Arc::clone(&shipped);
    bus.subscribe("all").on(move |event: &Shipped| heard.lock().push(event.order)).start().unwrap();
    store.sim.run_until_idle();
    assert_eq!(*shipped.lock(), [1, 11, 12]);
}
