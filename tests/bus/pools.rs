//! Pools of threads: their sizes, and what a bus says about them.

use std::{sync::mpsc, thread, time::Duration};

use tidings::{Bus, PoolSize, PoolStatus, Runtime, testing::Simulator};

use crate::events::{Placed, SECOND, Tick, placed, seen};

fn pool(bus: &Bus, name: &str) -> PoolStatus {
    bus.pools().into_iter().find(|pool| *pool.name == *name).unwrap()
}

/// Asks until the pool is so.
fn until(bus: &Bus, name: &str, holds: impl Fn(&PoolStatus) -> bool) {
    for _ in 0..6000 {
        if holds(&pool(bus, name)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{:?}", pool(bus, name));
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let error = |size: PoolSize| Bus::builder().pool("slow", size).build().unwrap_err().to_string();
    assert_eq!(error(0.into()), "the setting `pool` must be at least 1");
    assert_eq!(error(PoolSize::adaptive(0..=4)), "the setting `pool` must be at least 1");
    let (least, most) = (5, 3);
    assert_eq!(
        error(PoolSize::adaptive(least..=most)),
        "the pool `slow` cannot have at least 5 and at most 3 threads"
    );
    assert!(Bus::builder().pool("slow", PoolSize::adaptive(1..=1)).build().is_ok());
}

#[test]
fn every_pool_shows_its_size_before_it_has_begun() {
    let adaptive = PoolSize::adaptive(2..=16);
    let bus = Bus::builder().pool("quick", 3).pool("slow", adaptive).build().unwrap();
    let (quick, slow) = (pool(&bus, "quick"), pool(&bus, "slow"));
    assert_eq!((quick.threads, quick.least, quick.most), (0, 3, 3));
    assert_eq!((slow.threads, slow.least, slow.most), (0, adaptive.least(), adaptive.most()));
    assert_eq!((slow.queued, slow.oldest), (0, None));
    let default = pool(&bus, Runtime::DEFAULT_POOL);
    assert!(default.least >= 2 && default.least == default.most);
}

#[test]
fn a_stuck_handler_shows_in_what_waits_behind_it() {
    let bus = Bus::builder().pool("narrow", 1).build().unwrap();
    let (release, stuck) = mpsc::channel::<()>();
    let stuck = parking_lot::Mutex::new(stuck);
    let (tell, told) = mpsc::channel();
    let first = bus.subscribe("first").pool("narrow").on(move |_: &Tick| {
        tell.send(()).unwrap();
        stuck.lock().recv().ok();
    });
    first.start().unwrap();
    bus.publish(Tick(1)).unwrap();
    told.recv().unwrap();
    bus.subscribe("second").pool("narrow").on(|_: &Placed| ()).start().unwrap();
    bus.publish(placed(1, 0)).unwrap();
    let long = Duration::from_millis(50);
    until(&bus, "narrow", |pool| pool.queued > 0 && pool.oldest.is_some_and(|age| age > long));
    assert_eq!(pool(&bus, "narrow").threads, 1);
    release.send(()).unwrap();
    drop(release);
    until(&bus, "narrow", |pool| pool.queued == 0 && pool.oldest.is_none());
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn an_adaptive_pool_follows_handlers_that_block() {
    let bus = Bus::builder().pool("slow", PoolSize::adaptive(1..=6)).build().unwrap();
    let handled = seen();
    let in_handler = handled.clone();
    let slow = bus.subscribe("slow").pool("slow").lanes(16).on(move |event: &Placed| {
        thread::sleep(Duration::from_millis(20));
        in_handler.lock().push(event.order);
    });
    slow.start().unwrap();
    for order in 0..200 {
        bus.publish(placed(order, 0)).unwrap();
    }
    until(&bus, "slow", |pool| pool.threads == 6);
    assert!(bus.wait_idle(60 * SECOND));
    assert_eq!(handled.lock().len(), 200);
    until(&bus, "slow", |pool| pool.threads == 1);
    bus.publish(placed(0, 1)).unwrap();
    assert!(bus.wait_idle(60 * SECOND), "what is left works");
    bus.shutdown(30 * SECOND).unwrap();
}

#[test]
fn under_the_simulator_a_size_is_a_name_only() {
    let sim = Simulator::new(1);
    let builder = Bus::builder().runtime(sim.runtime());
    let bus = builder.pool("slow", PoolSize::adaptive(2..=4)).build().unwrap();
    bus.subscribe("ticks").pool("slow").on(|_: &Tick| ()).start().unwrap();
    sim.run_until_idle();
    let at_rest = pool(&bus, "slow");
    assert_eq!((at_rest.threads, at_rest.least, at_rest.most, at_rest.queued), (0, 2, 4, 0));
    bus.publish(Tick(1)).unwrap();
    let woken = pool(&bus, "slow");
    assert_eq!((woken.threads, woken.queued, woken.oldest), (0, 1, Some(Duration::ZERO)));
}
