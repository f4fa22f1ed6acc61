//! Pausing, stopping, shutting down, dropping.

use std::{
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use tidings::{Backoff, Bus, Condition, HandlerError, ShutdownError};

use crate::{
    events::{Placed, SECOND, Tick, placed, seen, simulated},
    store::Store,
};

#[test]
fn a_paused_subscription_rests_and_loses_nothing() {
    let (sim, bus) = simulated(1);
    let list = seen();
    let in_handler = list.clone();
    let ticks = bus.subscribe("ticks").on(move |t: &Tick| in_handler.lock().push(t.0));
    let ticks = ticks.start().unwrap();
    bus.publish(Tick(1)).unwrap();
    sim.run_until_idle();
    ticks.pause();
    bus.publish(Tick(2)).unwrap();
    sim.run_until_idle();
    assert_eq!(ticks.status().condition, Condition::Paused);
    assert_eq!((list.lock().len(), ticks.lag()), (1, 1));
    ticks.resume();
    sim.run_until_idle();
    assert_eq!((list.lock().len(), ticks.lag()), (2, 0));
}

#[test]
fn a_shutdown_lets_handlers_finish() {
    let bus = Bus::volatile();
    let list = seen();
    let in_handler = list.clone();
    bus.subscribe("slow")
        .lanes(2)
        .on(move |t: &Tick| {
            thread::sleep(Duration::from_millis(2));
            in_handler.lock().push(t.0);
        })
        .start()
        .unwrap();
    bus.publish_all((0..50).map(Tick)).unwrap();
    let report = bus.shutdown(30 * SECOND).unwrap();
    assert_eq!(list.lock().len(), 50);
    assert_eq!((report.left, report.abandoned), (0, 0));
    assert_eq!(report.subscriptions[0].name, "slow");
    assert_eq!(bus.shutdown(SECOND).unwrap(), report, "the second call says the same");
}

#[test]
fn an_idle_bus_shuts_down_at_once() {
    let bus = Bus::volatile();
    bus.subscribe("idle").on(|_: &Tick| ()).start().unwrap();
    let start = Instant::now();
    bus.shutdown(3600 * SECOND).unwrap();
    assert!(start.elapsed() < SECOND);
}

#[test]
fn a_shutdown_does_not_wait_for_a_retry_and_counts_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    bus.subscribe("failing")
        .retry(Backoff::constant(3600 * SECOND))
        .on(|e: &Placed| if e.order == 1 { Err(HandlerError::retry("x")) } else { Ok(()) })
        .start()
        .unwrap();
    bus.publish_all([placed(1, 0), placed(1, 1), placed(2, 0)]).unwrap();
    let start = Instant::now();
    let report = bus.shutdown(30 * SECOND).unwrap();
    assert!(start.elapsed() < 10 * SECOND);
    assert_eq!((report.left, report.abandoned), (2, 0));

    let bus = Bus::open(dir.path()).unwrap();
    let list = seen();
    let in_handler = list.clone();
    let failing = bus.subscribe("failing").on(move |e: &Placed| in_handler.lock().push(e.step));
    failing.start().unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    assert_eq!(*list.lock(), [0, 1]);
}

/// The others fit into the ring no more.
#[test]
fn a_shutdown_counts_what_only_the_store_has_any_more() {
    let store = Store::new();
    let bus = store.open();
    let ticks = bus.subscribe("ticks").on(|_: &Tick| {}).start().unwrap();
    ticks.pause();
    for tick in 0..100 {
        bus.publish(Tick(tick)).unwrap();
        bus.publish(placed(tick, 0)).unwrap();
    }
    assert_eq!(bus.shutdown(SECOND).unwrap().left, 100);
}

#[test]
fn a_stuck_handler_is_abandoned_at_the_deadline_and_its_event_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::open(dir.path()).unwrap();
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = parking_lot::Mutex::new(stuck);
    let entered = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&entered);
    bus.subscribe("stuck")
        .on(move |_: &Tick| {
            inside.wait();
            stuck.lock().recv().ok();
        })
        .start()
        .unwrap();
    bus.publish_all((0..3).map(Tick)).unwrap();
    entered.wait();
    let start = Instant::now();
    let report = bus.shutdown(Duration::from_millis(100)).unwrap();
    assert!(start.elapsed() < 5 * SECOND);
    assert_eq!((report.left, report.abandoned), (3, 1), "{report:?}");
    // The directory is free although the handler still runs.
    let bus = Bus::open(dir.path()).unwrap();
    let list = seen();
    let in_handler = list.clone();
    bus.subscribe("stuck").on(move |t: &Tick| in_handler.lock().push(t.0)).start().unwrap();
    assert!(bus.wait_idle(30 * SECOND));
    assert_eq!(*list.lock(), [0, 1, 2], "nothing of the abandoned run was acknowledged");
    drop(release);
}

#[test]
fn a_shutdown_from_inside_a_handler_is_refused() {
    let bus = Bus::volatile();
    let inner = bus.clone();
    let (tell, told) = mpsc::channel();
    bus.subscribe("suicidal")
        .on(move |_: &Tick| {
            let refused = matches!(inner.shutdown(SECOND), Err(ShutdownError::InsideHandler));
            tell.send(refused).unwrap();
        })
        .start()
        .unwrap();
    bus.publish(Tick(1)).unwrap();
    assert!(told.recv().unwrap());
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn dropping_the_bus_stops_it_and_frees_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let bus = Bus::open(dir.path()).unwrap();
        let handle = bus.subscribe("reader").lanes(3).on(|_: &Placed| ()).start().unwrap();
        bus.publish(placed(round, 0)).unwrap();
        let pending = bus.enqueue(placed(round, 1)).unwrap();
        drop(bus);
        // Either it was committed before, or it is refused; it is never left hanging.
        if let Err(error) = pending.wait() {
            assert_eq!(error.into_event(), placed(round, 1));
        }
        assert!(handle.stop(SECOND), "a handle of a dropped bus is harmless");
    }
}

#[test]
fn a_stopped_subscription_may_start_again() {
    let (sim, bus) = simulated(2);
    let list = seen();
    for _ in 0..3 {
        let in_handler = list.clone();
        let ticks = bus.subscribe("ticks").on(move |t: &Tick| in_handler.lock().push(t.0));
        let ticks = ticks.start().unwrap();
        bus.publish(Tick(list.lock().len() as u64)).unwrap();
        sim.run_until_idle();
        assert!(ticks.stop(SECOND));
        assert_eq!(ticks.status().condition, Condition::Stopped);
    }
    assert_eq!(*list.lock(), [0, 1, 2]);
}

#[test]
fn a_stuck_handler_holds_up_its_lane_and_no_other_pool() {
    let bus = Bus::builder().pool("slow", 1).build().unwrap();
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = parking_lot::Mutex::new(stuck);
    let slow = bus.subscribe("slow").pool("slow").on(move |_: &Tick| {
        stuck.lock().recv().ok();
    });
    slow.start().unwrap();
    let (tell, told) = mpsc::channel();
    bus.subscribe("fast").on(move |t: &Tick| tell.send(t.0).unwrap()).start().unwrap();
    for n in 0..100 {
        bus.publish(Tick(n)).unwrap();
        assert_eq!(told.recv_timeout(30 * SECOND), Ok(n));
    }
    drop(release);
    bus.shutdown(30 * SECOND).unwrap();
}
