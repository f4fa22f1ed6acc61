//! Instances whose state does not decode while the saga runs.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use tidings::saga::{Condition, Define, Elsewhere, Saga, SagaError, SagaState};

use crate::{
    fulfilment::*,
    world::{World, reopen},
};

/// Whether the state of order 7 cannot be read.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open(#[serde(deserialize_with = "read")] u64);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
enum Fragile {
    Open(Open),
    #[saga(terminal)]
    Closed(Closed),
}

fn read<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        7 if IS_BROKEN.load(Ordering::Relaxed) => Err(D::Error::custom("seven is no number")),
        order => Ok(order),
    }
}

impl Saga for Fragile {
    const NAME: &'static str = "fragile";

    fn define(saga: &mut Define<Self>) {
        saga.start(|placed: &OrderPlaced, turn| turn.enter(Open(placed.order))).to::<Open>();
        saga.state::<Open>().on(|_, _: &OrderShipped, turn| turn.enter(Closed)).to::<Closed>();
        saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
    }
}

#[test]
fn g9_an_instance_that_cannot_be_read_is_kept_with_what_comes_for_it_and_others_go_on() {
    let world = World::<Fragile>::new();
    for order in [7, 8] {
        world.publish(OrderPlaced { order });
    }
    IS_BROKEN.store(true, Ordering::Relaxed);
    for order in [7, 8] {
        world.publish(OrderShipped { order });
    }
    assert_eq!(world.condition(8), Condition::Completed);
    let list = world.sagas.list().unwrap();
    assert_eq!((list[0].condition, &*list[0].state), (Condition::Unreadable, "Open"));
    assert!(list[0].why.as_ref().unwrap().contains("seven is no number"));
    assert_eq!(world.sagas.parked("7").unwrap()[0].event, "orders.shipped");
    assert_eq!(world.sagas.status().unwrap().halted(), 1);

    let World { sim, storage, bus, .. } = world;
    let bus = reopen(&sim, &storage, bus);
    assert!(matches!(bus.saga::<Fragile>().start(), Err(SagaError::Unloadable { .. })));
    IS_BROKEN.store(false, Ordering::Relaxed);
    let sagas = bus.saga::<Fragile>().start().unwrap();
    sim.advance(std::time::Duration::ZERO);
    assert_eq!(sagas.get("7").unwrap().unwrap().condition, Condition::Completed);
    assert!(sagas.parked("7").unwrap().is_empty());
}
