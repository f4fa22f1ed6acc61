//! Instances that wait for an operator.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::saga::{Condition, Define, Saga, SagaState, Verdict};

use crate::{
    fulfilment::*,
    world::{MINUTE, SECOND, World},
};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open(u32);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
enum Doubtful {
    Open(Open),
    #[saga(terminal)]
    Closed(Closed),
}

impl Saga for Doubtful {
    const NAME: &'static str = "doubtful";

    fn define(saga: &mut Define<Self>) {
        saga.start(|_: &OrderPlaced, turn| turn.timer("tick", MINUTE).enter(Open(0)))
            .to::<Open>()
            .sets("tick");
        saga.state::<Open>()
            .on(|_, _: &OutOfStock, turn| turn.suspend("is it, or is it not?"))
            .on(|state, _: &StockReserved, turn| turn.enter(Open(state.0 + 1)))
            .on(|_, _: &PaymentTaken, _| panic!("never"))
            .on(|_, _: &AddressChecked, turn| turn.enter(Closed))
            .on(|_, _: &OrderShipped, turn| turn.enter(Closed))
            .to::<Closed>()
            .on_timer("tick", |state, turn| turn.enter(Open(state.0 + 100)))
            .defer::<PaymentRefused>()
            .ignore::<OrderPlaced>();
        saga.max_transitions_a_minute(10);
    }
}

#[test]
fn events_and_timers_wait_while_an_instance_is_suspended() {
    let world = World::<Doubtful>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(OutOfStock { order: 7 });
    let instance = world.sagas.get("7").unwrap().unwrap();
    assert_eq!(instance.condition, Condition::Suspended);
    assert_eq!(instance.why.as_deref(), Some("is it, or is it not?"));
    world.publish(StockReserved { order: 7 });
    world.pass(MINUTE);
    assert_eq!(world.state(7), Doubtful::from(Open(0)));
    let world = world.restart::<Doubtful>();
    world.sagas.retry("7").unwrap();
    world.settle();
    assert_eq!(world.state(7), Doubtful::from(Open(101)));
    assert_eq!(world.condition(7), Condition::Running);
}

#[test]
fn a_circle_is_halted() {
    let world = World::<Doubtful>::new();
    world.publish(OrderPlaced { order: 7 });
    for _ in 0..20 {
        world.publish(StockReserved { order: 7 });
    }
    assert_eq!(world.state(7), Doubtful::from(Open(9)));
    assert_eq!(world.condition(7), Condition::Suspended);
    world.sagas.retry("7").unwrap();
    world.settle();
    assert_eq!(world.condition(7), Condition::Suspended, "still too many at once");
    world.pass(MINUTE);
    world.sagas.retry("7").unwrap();
    world.settle();
    assert_eq!(world.condition(7), Condition::Running);
    assert_eq!(world.state(7), Doubtful::from(Open(120)), "nothing is lost");
}

#[test]
fn somebody_is_told_of_a_halt() {
    let world = World::<Doubtful>::new();
    assert!(world.sagas.subscription().stop(SECOND));
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let hook = move |key: &tidings::Key, why: &str| telling.lock().push(format!("{key}: {why}"));
    let sagas = world.bus.saga::<Doubtful>().on_halt(hook).start().unwrap();
    world.publish(OrderPlaced { order: 7 });
    world.publish(OutOfStock { order: 7 });
    assert_eq!(*told.lock(), ["7: is it, or is it not?"]);
    assert_eq!(sagas.status().unwrap().halted(), 1);
}

#[test]
fn a_handler_that_panics_is_tried_again_and_leaves_nothing() {
    let world = World::<Doubtful>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    world.pass(10 * MINUTE);
    assert_eq!(world.dead_letters(), ["payments.taken: the handler panicked: never"]);
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled], "its start and its timer");
}

#[test]
fn a_decision_that_was_not_declared_is_rejected_and_leaves_nothing() {
    let world = World::<Doubtful>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(AddressChecked { order: 7 });
    let why =
        "addresses.checked: `Closed` is not among what the transition declares with `to`: `Open`";
    assert_eq!(world.dead_letters(), [why]);
    assert_eq!(world.state(7), Doubtful::from(Open(0)));
}

#[test]
fn what_waits_for_ever_is_noted_at_the_end() {
    let world = World::<Doubtful>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentRefused { order: 7 });
    world.publish(OrderShipped { order: 7 });
    let verdicts = [Verdict::Handled, Verdict::Deferred, Verdict::Handled, Verdict::Late];
    assert_eq!(world.verdicts(7), verdicts);
    assert!(world.sagas.get("7").unwrap().unwrap().deferred.is_empty());
}
