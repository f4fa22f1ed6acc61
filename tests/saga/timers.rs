//! Timers that go off, late, never, or for nothing.

use std::time::Duration;

use tidings::saga::{Condition, Trigger, Verdict};

use crate::{
    fulfilment::*,
    world::{DAY, MINUTE, SECOND, World},
};

#[test]
fn a_timer_goes_off_in_the_state_that_there_is_then() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.pass(Duration::from_secs(15 * 60 - 1));
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 0 }));
    world.pass(SECOND);
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 1 }));
    let history = world.sagas.history("7").unwrap();
    assert_eq!(history[1].trigger, Trigger::Timer { name: "payment".into() });
}

#[test]
fn a_timer_that_was_stopped_does_not_go_off() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    assert!(world.sagas.get("7").unwrap().unwrap().timers.is_empty());
    world.pass(DAY);
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled]);
}

#[test]
fn g8_a_timer_outlives_the_process_and_goes_off_once() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.pass(Duration::from_mins(14));
    let world = world.restart::<Fulfilment>();
    assert_eq!(world.sagas.get("7").unwrap().unwrap().timers[0].name, "payment");
    world.pass(MINUTE);
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled]);
    let world = world.restart::<Fulfilment>();
    world.pass(SECOND);
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled]);
}

#[test]
fn g8_a_timer_that_is_overdue_at_the_start_goes_off_then() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    let stopped = world.sagas.subscription().stop(SECOND);
    assert!(stopped);
    world.pass(DAY);
    let world = world.restart::<Fulfilment>();
    world.settle();
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 1 }));
}

/// The timer went off while the saga did not look, and the payment came in before it: what is found then
/// is a timer of an earlier time.
#[test]
fn g8_a_timer_that_is_too_late_is_noted_and_harmless() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.sagas.subscription().pause();
    world.publish(PaymentTaken { order: 7 });
    world.pass(DAY);
    world.sagas.subscription().resume();
    world.settle();
    assert_eq!(world.state(7), Fulfilment::from(AwaitingStock));
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled, Verdict::Stale]);
}

#[test]
fn g8_a_timer_that_goes_off_after_the_end_is_noted_and_harmless() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.sagas.subscription().pause();
    world.publish(PaymentRefused { order: 7 });
    world.pass(DAY);
    world.sagas.subscription().resume();
    world.settle();
    assert_eq!(world.condition(7), Condition::Completed);
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled, Verdict::Stale]);
}
