//! Events that come too early, mean nothing, or must not come.

use tidings::saga::Verdict;

use crate::{fulfilment::*, world::World};

#[test]
fn an_event_that_comes_too_early_waits_for_its_state() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(StockReserved { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 0 }));
    let waiting = world.sagas.get("7").unwrap().unwrap().deferred;
    assert_eq!(waiting[0].event, "stock.reserved");
    world.publish(PaymentTaken { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(Shipping));
    assert!(world.sagas.get("7").unwrap().unwrap().deferred.is_empty());
    let verdicts = [Verdict::Handled, Verdict::Deferred, Verdict::Handled, Verdict::Handled];
    assert_eq!(world.verdicts(7), verdicts);
}

#[test]
fn what_waits_outlives_the_process() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(StockReserved { order: 7 });
    let world = world.restart::<Fulfilment>();
    world.publish(PaymentTaken { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(Shipping));
}

#[test]
fn an_event_that_means_nothing_is_noted() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(OrderPlaced { order: 7 });
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Ignored]);
    assert_eq!(world.sent(), ["payments.take 7"]);
}

#[test]
fn an_event_that_must_not_come_becomes_a_dead_letter() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(OrderShipped { order: 7 });
    let why =
        "orders.shipped: `fulfilment` rejects `orders.shipped` in the state `AwaitingPayment`";
    assert_eq!(world.dead_letters(), [why]);
    assert_eq!(world.verdicts(7), [Verdict::Handled]);
}

/// No more than 64 wait; the others are dead letters, and not lost.
#[test]
fn what_waits_is_bounded() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    for _ in 0..70 {
        world.publish(StockReserved { order: 7 });
    }
    assert_eq!(world.sagas.get("7").unwrap().unwrap().deferred.len(), 64);
    assert_eq!(world.dead_letters().len(), 6);
}
