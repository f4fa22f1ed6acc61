//! Processes that end, and what goes on after them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tidings::{
    Bus, BusBuilder, Error,
    testing::{CallOutcome, TestBus},
};

use crate::shop::{
    OrderPlaced, PaymentTaken, SECOND, assert_contains, message_of, order, shop, start,
};

#[test]
fn a_restart_is_clean_and_goes_on_where_it_stopped() {
    let mut bus = shop();
    bus.publish(OrderPlaced { cents: -1, ..order(1) }).unwrap();
    bus.publish(order(2)).unwrap();
    let report = bus.restart();
    assert_eq!((report.left, report.abandoned), (1, 0), "what waits for a retry is left");
    bus.assert_published_times::<PaymentTaken>(1);

    bus.run_until_idle();
    bus.assert_published_times::<PaymentTaken>(2);
    let attempts: Vec<_> = bus.handler_calls("billing").iter().map(|call| call.attempt).collect();
    assert_eq!(attempts.iter().max(), Some(&4), "attempts of earlier processes count");
    assert_eq!(bus.state("billing", 11_u64, "count"), Some(1_u64));
}

#[test]
fn a_killed_process_takes_nothing_that_was_acknowledged_with_it() {
    for steps in 0..40 {
        let mut bus = TestBus::builder().seed(steps).start(start).unwrap();
        for n in 0..5 {
            bus.publish(order(n)).unwrap();
        }
        bus.advance(SECOND * u32::from(steps % 2 == 0));
        bus.kill();
        bus.run_until_idle();
        bus.assert_published_times::<PaymentTaken>(5);
        bus.assert_no_dead_letters();
    }
}

#[test]
fn time_goes_on_over_restarts() {
    let mut bus = shop();
    bus.advance(SECOND);
    bus.kill();
    bus.restart();
    bus.advance(SECOND);
    assert_eq!(bus.elapsed(), 2 * SECOND);
}

#[test]
fn a_bus_that_was_kept_from_before_is_dead() {
    let mut bus = shop();
    let old = bus.bus().clone();
    bus.kill();
    assert!(old.publish(order(1)).is_err());
    bus.run_until_idle();
    bus.assert_nothing_published::<OrderPlaced>();
}

#[test]
fn a_set_up_that_fails_says_so_at_once_and_after_a_restart() {
    let error = TestBus::start(|bus| {
        let bus = bus.build()?;
        bus.subscribe("no handler").start()?;
        Ok::<_, Error>(bus)
    });
    assert!(matches!(error, Err(Error::Subscribe(_))));

    let calls = Arc::new(AtomicU64::new(0));
    let mut bus = TestBus::start(move |bus: BusBuilder| -> Result<Bus, String> {
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => bus.build().map_err(|error| error.to_string()),
            _ => Err("no config".into()),
        }
    })
    .unwrap();
    assert_contains(&message_of(|| bus.kill()), &["set-up failed after a restart: no config"]);
}

#[test]
fn a_set_up_has_to_use_the_builder_and_the_storage_that_it_is_given() {
    let message = message_of(|| TestBus::start(|_| Ok::<_, Error>(Bus::volatile())));
    assert_contains(&message, &["make its bus with the builder that it is given"]);

    let other = tidings::storage::MemoryStorage::new();
    let bus = TestBus::start(move |bus| bus.storage(other.clone()).build()).unwrap();
    bus.publish(order(1)).unwrap();
    let message = message_of(|| bus.published::<OrderPlaced>());
    assert_contains(&message, &["given its bus another storage"]);
}

#[test]
fn calls_of_a_process_that_was_killed_are_abandoned() {
    let mut bus = shop();
    bus.publish(OrderPlaced { cents: -1, ..order(1) }).unwrap();
    bus.advance(SECOND);
    bus.kill();
    let calls = bus.handler_calls("billing");
    assert_eq!(calls[0].outcome.error(), Some("the bank sleeps"));
    assert!(!calls.iter().any(|call| call.outcome == CallOutcome::Running));
}
