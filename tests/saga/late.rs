//! Events that come after the saga is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::saga::{Condition, Define, Elsewhere, Late, Saga, SagaState, Verdict};

use crate::{
    fulfilment::*,
    world::{DAY, SECOND, World},
};

fn shipped(world: &World) {
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    world.publish(StockReserved { order: 7 });
    world.publish(OrderShipped { order: 7 });
    assert_eq!(world.condition(7), Condition::Completed);
}

#[test]
fn g6_a_late_event_is_noted_and_changes_nothing() {
    let world = World::<Fulfilment>::new();
    shipped(&world);
    world.sent();
    world.publish(OrderShipped { order: 7 });
    world.publish(OrderPlaced { order: 7 });
    assert_eq!(world.verdicts(7)[4..], [Verdict::Late, Verdict::Late]);
    assert_eq!(world.state(7), Fulfilment::from(Shipped));
    assert!(world.sent().is_empty() && world.dead_letters().is_empty());
}

/// What comes again because somebody wants it to has been there: nothing comes of it.
#[test]
fn what_is_replayed_changes_nothing() {
    let world = World::<Fulfilment>::new();
    shipped(&world);
    world.publish(OrderPlaced { order: 8 });
    world.sent();
    let before = (world.verdicts(7), world.verdicts(8));
    let world = world.rewound();
    world.settle();
    assert_eq!((world.verdicts(7), world.verdicts(8)), before);
    assert!(world.sent().is_empty() && world.dead_letters().is_empty());
    world.publish(PaymentTaken { order: 8 });
    assert_eq!(world.sent(), ["stock.reserve 8"], "and what is new does");
}

#[test]
fn what_is_over_is_kept_for_a_week_and_then_forgotten() {
    let world = World::<Fulfilment>::new();
    shipped(&world);
    world.pass(Duration::from_secs(7 * 86_400 - 1));
    let world = world.restart::<Fulfilment>();
    assert_eq!(world.condition(7), Condition::Completed);
    world.pass(2 * SECOND);
    assert!(world.sagas.get("7").unwrap().is_none());
    assert!(world.sagas.history("7").unwrap().is_empty());
    world.publish(OrderPlaced { order: 7 });
    assert_eq!(world.condition(7), Condition::Running);
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Closed;

/// It may begin again, and rejects what is late.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
enum Again {
    Open(Open),
    #[saga(terminal)]
    Closed(Closed),
}

impl Saga for Again {
    const NAME: &'static str = "again";

    fn define(saga: &mut Define<Self>) {
        saga.start(|_: &OrderPlaced, turn| turn.timer("open", SECOND).enter(Open))
            .to::<Open>()
            .sets("open");
        saga.state::<Open>()
            .on(|_, _: &OrderShipped, turn| turn.enter(Closed))
            .to::<Closed>()
            .on_timer("open", |_, turn| turn.enter(Closed))
            .to::<Closed>();
        saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
        saga.allow_restart().late(Late::Reject).keep_completed(Duration::from_mins(1));
    }
}

#[test]
fn late_events_may_be_dead_letters() {
    let world = World::<Again>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(OrderShipped { order: 7 });
    world.publish(OrderShipped { order: 7 });
    let why = "orders.shipped: `orders.shipped` came after the `again` of key `7` was over";
    assert_eq!(world.dead_letters(), [why]);
}

/// Neither the timers of the first one nor its end reach the second.
#[test]
fn a_saga_begins_again_only_where_it_may() {
    let world = World::<Again>::new();
    for _ in 0..3 {
        world.publish(OrderPlaced { order: 7 });
        world.publish(OrderShipped { order: 7 });
    }
    world.publish(OrderPlaced { order: 7 });
    world.pass(SECOND / 2);
    assert_eq!(world.condition(7), Condition::Running);
    world.pass(SECOND);
    assert_eq!(world.condition(7), Condition::Completed);
    let history = world.sagas.history("7").unwrap();
    assert_eq!(history.len(), 8);
    assert!(history.windows(2).all(|two| two[0].revision + 1 == two[1].revision));
    world.pass(DAY);
    assert!(world.sagas.list().unwrap().is_empty());
}
