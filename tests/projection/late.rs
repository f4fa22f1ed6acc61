//! Events that come too late.

use tidings::{Late, LateCounts, ProjectionBuilder, Timestamp};

use crate::shop::{Placed, SECOND, Spent, Store};

/// Orders that happened in these seconds.
fn orders(bus: &tidings::Bus, seconds: &[u64]) {
    for order in seconds {
        bus.publish(Placed { order: *order, customer: 1, cents: 1 }).unwrap();
    }
}

fn by_time(bus: &tidings::Bus, version: u32) -> ProjectionBuilder<Spent> {
    bus.project::<Spent>("spent", version)
        .on(|_: &Placed, rows| rows.at("in time").orders += 1)
        .event_time(|order: &Placed| Timestamp::from_nanos(order.order * 1_000_000_000))
        .allowed_lateness(3 * SECOND)
}

const SECONDS: [u64; 8] = [5, 9, 6, 5, 7, 20, 17, 16];

#[test]
fn what_is_late_goes_by_the_policy_and_is_counted_live_and_built() {
    let counts = |applied, ignored, reconciled| {
        let mut counts = LateCounts::default();
        (counts.applied, counts.ignored, counts.reconciled) = (applied, ignored, reconciled);
        counts
    };
    for is_built in [false, true] {
        for (policy, in_time, expected) in
            [(Late::Apply, 8, counts(2, 0, 0)), (Late::Ignore, 6, counts(0, 2, 0))]
        {
            let bus = Store::new().open();
            if is_built {
                orders(&bus, &SECONDS);
            }
            let view = by_time(&bus, 1).late(policy).build_in_chunks_of(3).start().unwrap();
            assert!(bus.wait_idle(SECOND));
            if !is_built {
                orders(&bus, &SECONDS);
                assert!(bus.wait_idle(SECOND));
            }
            let status = view.status().unwrap();
            assert_eq!(view.get("in time").unwrap().unwrap().orders, in_time);
            assert_eq!(status.late, expected, "{policy:?}, built: {is_built}");
            assert_eq!(status.watermark, Some(Timestamp::from_nanos(20_000_000_000)));
        }
    }
}

#[test]
fn what_reconciles_is_called_in_place_of_the_handler() {
    let store = Store::new();
    let bus = store.open();
    let reconciled = |bus: &tidings::Bus| {
        let builder = by_time(bus, 1).late(Late::Ignore);
        builder.reconcile(|order: &Placed, rows| {
            rows.at("late").cents += i64::try_from(order.order).unwrap();
        })
    };
    let view = reconciled(&bus).start().unwrap();
    orders(&bus, &SECONDS[..5]);
    assert!(bus.wait_idle(SECOND));
    drop((bus, view));
    // The latest time is kept with the rows.
    let bus = store.open();
    let view = reconciled(&bus).start().unwrap();
    orders(&bus, &[2, 10]);
    assert!(bus.wait_idle(SECOND));
    assert_eq!(view.get("late").unwrap().unwrap().cents, 5 + 2);
    assert_eq!(view.get("in time").unwrap().unwrap().orders, 5);
    assert_eq!(view.status().unwrap().late.reconciled, 2);
}
