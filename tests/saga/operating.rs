//! What operators do.

use tidings::saga::{Condition, SagaError, Trigger, Verdict};

use crate::{fulfilment::*, world::World};

#[test]
fn a_timer_can_be_made_to_go_off() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    let receipt = world.sagas.fire_timer("7", "payment").unwrap();
    world.settle();
    assert!(receipt.position.get() > 0);
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 1 }));
    let history = world.sagas.history("7").unwrap();
    assert_eq!(history[1].trigger, Trigger::Operator { action: "fire timer payment".into() });
    let refused = world.sagas.fire_timer("7", "no such timer");
    assert!(matches!(refused, Err(SagaError::NotNow { .. })));
}

#[test]
fn a_saga_can_be_cancelled_and_is_undone() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    world.sent();
    world.sagas.cancel("7", "the customer has called").unwrap();
    world.settle();
    assert_eq!(world.condition(7), Condition::Compensating);
    world.publish(PaymentRefunded { order: 7 });
    assert_eq!(world.condition(7), Condition::Cancelled);
    assert_eq!(world.state(7), Fulfilment::from(AwaitingStock), "where it was");
    world.publish(StockReserved { order: 7 });
    assert_eq!(world.verdicts(7).last(), Some(&Verdict::Late));
    assert!(matches!(world.sagas.cancel("7", "again"), Err(SagaError::NotNow { .. })));
}

#[test]
fn nobody_can_operate_what_is_not_there_or_does_not_wait() {
    let world = World::<Fulfilment>::new();
    assert!(matches!(world.sagas.retry("7"), Err(SagaError::NoInstance { .. })));
    world.publish(OrderPlaced { order: 7 });
    assert!(matches!(world.sagas.retry("7"), Err(SagaError::NotNow { .. })));
    assert!(matches!(world.sagas.skip("7"), Err(SagaError::NotNow { .. })));
    assert!(matches!(world.sagas.discard_parked("7"), Err(SagaError::NotNow { .. })));
}

/// Between the look and the action the instance may have gone on: then nothing happens, and that is noted.
#[test]
fn an_action_that_comes_too_late_is_noted() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.sagas.subscription().pause();
    world.publish(PaymentRefused { order: 7 });
    world.sagas.cancel("7", "the customer has called").unwrap();
    world.sagas.subscription().resume();
    world.settle();
    assert_eq!(world.condition(7), Condition::Completed);
    let last = world.sagas.history("7").unwrap().pop().unwrap();
    assert_eq!(
        (last.verdict, last.note.as_deref()),
        (Verdict::Ignored, Some("it is over, or being undone"))
    );
}
