//! Events are dropped when the ring comes round, by whoever publishes then; and a `Drop` may take its
//! time, or use the bus.

use std::{
    sync::{
        Arc, Barrier,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Context, Event, HandlerError, Overflow, storage::FileStorage, testing::MemoryDisk,
};

use crate::events::{Placed, Shipped, Tick, placed};

const MINUTE: Duration = Duration::from_mins(1);

/// Does something when it is dropped.
#[derive(Serialize, Deserialize, Event)]
#[event(name = "last")]
struct Last {
    #[serde(skip)]
    act: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for Last {
    fn drop(&mut self) {
        self.act.take().into_iter().for_each(|act| act());
    }
}

fn last(act: impl FnOnce() + Send + Sync + 'static) -> Last {
    Last { act: Some(Box::new(act)) }
}

/// An event that says when its drop has begun, and then waits to be told to go on.
fn slow_to_drop() -> (Last, Arc<Barrier>) {
    let gate = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&gate);
    let pass_twice = move || {
        inside.wait();
        inside.wait();
    };
    (last(pass_twice), gate)
}

/// Does something on another thread, and tells when it is done.
fn aside(act: impl FnOnce() + Send + 'static) -> Receiver<()> {
    let (done, is_done) = channel();
    thread::spawn(move || {
        act();
        done.send(()).ok();
    });
    is_done
}

fn publish(bus: &Bus, ticks: u64) {
    for tick in 0..ticks {
        bus.publish(Tick(tick)).unwrap();
    }
}

fn publish_aside(bus: &Bus) -> Receiver<()> {
    let bus = bus.clone();
    aside(move || publish(&bus, 1))
}

fn ring(events: usize) -> Bus {
    Bus::builder().ring(events).build().unwrap()
}

/// Long enough for another thread to fall asleep where it is going to.
const A_WHILE: Duration = Duration::from_millis(100);

#[test]
fn a_publisher_waits_for_another_that_is_still_writing() {
    let bus = ring(1);
    let (event, gate) = slow_to_drop();
    bus.publish(event).unwrap();
    let writing = publish_aside(&bus);
    gate.wait();
    let behind = publish_aside(&bus);
    assert!(behind.recv_timeout(A_WHILE).is_err());
    gate.wait();
    for publisher in [writing, behind] {
        publisher.recv_timeout(MINUTE).unwrap();
    }
}

/// Readers let in what found no room, but here none is left but one that sleeps.
#[test]
fn what_a_handler_published_waits_for_a_publisher_and_for_nobody_else() {
    let bus = ring(2);
    let (event, gate) = slow_to_drop();
    bus.publish(event).unwrap();
    let (shipped, has_shipped) = channel();
    let watch = move |_: &Shipped| shipped.send(()).unwrap();
    bus.subscribe("watch").on(watch).start().unwrap();
    let at_work = Arc::new(Barrier::new(2));
    let handler = Arc::clone(&at_work);
    let ship = move |event: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
        handler.wait();
        handler.wait();
        ctx.publish(Tick(0))?;
        Ok(ctx.publish(Shipped { order: event.order })?)
    };
    let ship = bus.subscribe("ship").on(ship).start().unwrap();
    assert!(bus.wait_idle(MINUTE));
    bus.publish(placed(1, 0)).unwrap();
    at_work.wait();
    let writing = publish_aside(&bus);
    gate.wait();
    at_work.wait();
    assert!(ship.stop(MINUTE));
    let behind = publish_aside(&bus);
    assert!(behind.recv_timeout(A_WHILE).is_err());
    gate.wait();
    for done in [writing, has_shipped, behind] {
        done.recv_timeout(MINUTE).unwrap();
    }
    assert!(bus.wait_idle(MINUTE));
}

#[test]
fn an_event_may_stop_a_subscription_while_publishers_wait_for_room() {
    let bus = ring(1);
    let idle = bus.subscribe("idle").on(|_: &Shipped| ()).start().unwrap();
    let at_work = Arc::new(Barrier::new(2));
    let handler = Arc::clone(&at_work);
    let slow = move |_: &Last| {
        handler.wait();
    };
    bus.subscribe("slow").on(slow).start().unwrap();
    let stop = move || {
        thread::sleep(A_WHILE); // the other publisher looks for room meanwhile
        assert!(idle.stop(MINUTE));
    };
    bus.publish(last(stop)).unwrap();
    let publishers = [(); 2].map(|()| publish_aside(&bus));
    thread::sleep(A_WHILE);
    at_work.wait();
    for publisher in publishers {
        publisher.recv_timeout(MINUTE).unwrap();
    }
}

/// Publishes an event that uses the bus when it is dropped, and has it dropped in this way.
fn is_dropped_by(way: impl FnOnce(&Bus, Last) + Send + 'static) {
    is_dropped_on(ring(2), way);
}

fn is_dropped_on(bus: Bus, way: impl FnOnce(&Bus, Last) + Send + 'static) {
    let (done, is_done) = channel();
    let inner = bus.clone();
    let event = last(move || {
        inner.publish(Tick(9)).ok(); // there may be no room, and it must not wait
        let new = inner.subscribe("new").on(|_: &Tick| ()).start().unwrap();
        assert!(new.stop(MINUTE));
        done.send(()).unwrap();
    });
    let published = aside(move || way(&bus, event));
    is_done.recv_timeout(MINUTE).unwrap();
    published.recv_timeout(MINUTE).unwrap();
}

#[test]
fn an_event_may_use_the_bus_wherever_it_is_dropped() {
    is_dropped_by(|bus, event| {
        bus.publish(event).unwrap();
        publish(bus, 2);
    });
    is_dropped_by(|bus, event| {
        bus.publish(event).unwrap();
        let ticks = bus.publisher().unwrap();
        ticks.publish_batch(&mut vec![Tick(0), Tick(1)]).unwrap();
    });
    is_dropped_by(|bus, event| {
        bus.publish(event).unwrap();
        bus.publish_all([Tick(0), Tick(1)]).unwrap();
    });
}

#[test]
fn an_event_may_use_the_bus_when_a_handler_publishes_over_it() {
    is_dropped_by(|bus, event| {
        let echo = |_: &Placed, ctx: &mut Context| ctx.publish(Tick(0));
        bus.subscribe("echo").on(echo).start().unwrap();
        bus.publish(event).unwrap();
        bus.publish(placed(1, 0)).unwrap();
        assert!(bus.wait_idle(MINUTE));
    });
}

#[test]
fn an_event_may_use_the_bus_when_a_reader_gives_it_back_that_was_passed_over() {
    is_dropped_by(|bus, event| {
        let at_work = Arc::new(Barrier::new(2));
        let handler = Arc::clone(&at_work);
        let slow = move |_: &Last| {
            handler.wait();
            handler.wait();
        };
        bus.subscribe("slow").on_lag(Overflow::Skip).on(slow).start().unwrap();
        bus.publish(event).unwrap();
        at_work.wait();
        publish(bus, 9);
        at_work.wait();
        assert!(bus.wait_idle(MINUTE));
    });
}

fn durable() -> Bus {
    let storage = FileStorage::builder("store").disk(MemoryDisk::new()).open().unwrap();
    Bus::builder().storage(storage).ring(2).build().unwrap()
}

#[test]
fn an_event_of_a_durable_bus_may_publish_when_it_is_dropped() {
    is_dropped_on(durable(), |bus, event| {
        bus.publish(event).unwrap();
        publish(bus, 4);
    });
    is_dropped_on(durable(), |bus, event| {
        bus.publish(event).unwrap();
        for tick in [1, 2, 3].map(|tick| bus.enqueue(Tick(tick)).unwrap()) {
            tick.wait().unwrap();
        }
        publish(bus, 1); // in the memory of that event
    });
}

/// More of them than a durable bus keeps for the sake of their memory, the given one first.
fn many(event: Last) -> impl Iterator<Item = Last> {
    std::iter::once(event).chain((0..3000).map(|_| Last { act: None }))
}

#[test]
fn an_event_of_a_durable_bus_may_publish_when_there_is_too_much_to_be_kept() {
    is_dropped_on(durable(), |bus, event| {
        bus.publish_all(many(event)).unwrap();
    });
    is_dropped_on(durable(), |bus, event| {
        let events = Mutex::new(Some(many(event)));
        let publish = move |_: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            for event in events.lock().take().into_iter().flatten() {
                ctx.publish(event)?;
            }
            Ok(())
        };
        bus.subscribe("many").on(publish).start().unwrap();
        bus.publish(placed(1, 0)).unwrap();
        assert!(bus.wait_idle(MINUTE));
        bus.publish(Tick(1)).unwrap(); // drops what is too much
    });
}
