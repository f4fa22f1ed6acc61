//! Finding the instance of an event.

use serde::{Deserialize, Serialize};
use tidings::{
    Event,
    saga::{Define, Elsewhere, Saga, SagaError, SagaState},
};

use crate::{fulfilment::*, world::World};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "parcels.delivered", key = "parcel")]
struct ParcelDelivered {
    parcel: String,
    order: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "shops.closed")]
struct ShopClosed;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sent;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct There;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
enum Delivery {
    Sent(Sent),
    #[saga(terminal)]
    There(There),
}

impl Saga for Delivery {
    const NAME: &'static str = "delivery";

    fn define(saga: &mut Define<Self>) {
        saga.start(|_: &OrderPlaced, turn| turn.enter(Sent)).to::<Sent>();
        saga.state::<Sent>()
            .on(|_, _: &ParcelDelivered, turn| turn.enter(There))
            .to::<There>()
            .ignore::<ShopClosed>();
        saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
        saga.event::<ParcelDelivered>().by(|delivered| delivered.order);
    }
}

#[test]
fn an_event_may_find_its_instance_by_another_key_than_its_own() {
    let world = World::<Delivery>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(ParcelDelivered { parcel: "p-1".into(), order: Some(7) });
    assert_eq!(world.state(7), Delivery::from(There));
}

#[test]
fn such_a_saga_has_one_lane() {
    let world = World::<Fulfilment>::new();
    let refused = world.bus.saga::<Delivery>().lanes(2).start().unwrap_err();
    assert!(matches!(refused, SagaError::Lanes { event: "parcels.delivered", lanes: 2, .. }));
}

#[test]
fn an_event_that_names_no_instance_becomes_a_dead_letter() {
    let world = World::<Delivery>::new();
    world.publish(ParcelDelivered { parcel: "p-1".into(), order: None });
    world.publish(ShopClosed);
    let why = |event| format!("{event}: `{event}` names no instance of `delivery`: it has no key");
    assert_eq!(world.dead_letters(), [why("parcels.delivered"), why("shops.closed")]);
}
