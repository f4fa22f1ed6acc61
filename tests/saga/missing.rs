//! Events whose instance is not there.

use serde::{Deserialize, Serialize};
use tidings::saga::{Define, Missing, Saga, SagaState, Verdict};

use crate::{
    fulfilment::*,
    world::{MINUTE, World},
};

#[test]
fn g6_an_event_that_overtakes_its_start_is_parked_and_handed_in() {
    let world = World::<Fulfilment>::new();
    world.publish(PaymentTaken { order: 7 });
    assert!(world.sagas.get("7").unwrap().is_none());
    assert_eq!(world.sagas.parked("7").unwrap()[0].event, "payments.taken");
    assert_eq!(world.sagas.status().unwrap().parked, 1);
    let world = world.restart::<Fulfilment>();
    world.publish(OrderPlaced { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(AwaitingStock));
    assert!(world.sagas.parked("7").unwrap().is_empty());
    assert_eq!(world.sagas.status().unwrap().parked, 0);
}

#[test]
fn what_is_parked_is_bounded_and_can_be_discarded() {
    let world = World::<Fulfilment>::new();
    for _ in 0..70 {
        world.publish(PaymentTaken { order: 7 });
    }
    assert_eq!((world.sagas.parked("7").unwrap().len(), world.dead_letters().len()), (64, 6));
    world.sagas.discard_parked("7").unwrap();
    world.settle();
    assert!(world.sagas.parked("7").unwrap().is_empty());
}

#[test]
fn an_event_may_be_ignored_where_its_instance_is_not_there() {
    let world = World::<Fulfilment>::new();
    world.publish(AddressChecked { order: 7 });
    assert!(world.sagas.parked("7").unwrap().is_empty());
    assert!(world.dead_letters().is_empty());
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
enum Strict {
    Open(Open),
    #[saga(terminal)]
    Closed(Closed),
}

impl Saga for Strict {
    const NAME: &'static str = "strict";

    fn define(saga: &mut Define<Self>) {
        saga.start(|_: &OrderPlaced, turn| turn.enter(Open)).to::<Open>();
        saga.state::<Open>()
            .on(|_, _: &OrderShipped, turn| turn.enter(Closed))
            .to::<Closed>()
            .on(|_, _: &PaymentTaken, turn| turn.stay())
            .ignore::<OrderPlaced>();
        saga.missing(Missing::Reject);
        saga.event::<PaymentTaken>().by(|taken| taken.order / 10).missing(Missing::Retry);
    }
}

#[test]
fn an_event_may_be_rejected_where_its_instance_is_not_there() {
    let world = World::<Strict>::new();
    world.publish(OrderShipped { order: 7 });
    assert_eq!(world.dead_letters(), ["orders.shipped: no `strict` of key `7`"]);
}

#[test]
fn an_event_may_be_tried_again_until_its_instance_is_there() {
    let world = World::<Strict>::new();
    world.publish(PaymentTaken { order: 70 });
    world.publish(OrderPlaced { order: 7 });
    world.pass(MINUTE);
    assert_eq!(world.verdicts(7), [Verdict::Handled, Verdict::Handled]);
    world.publish(PaymentTaken { order: 80 });
    world.pass(5 * MINUTE);
    let letters = world.dead_letters();
    assert_eq!(letters, ["payments.taken: no `strict` of key `8` yet"], "after all attempts");
}
