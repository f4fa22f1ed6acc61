//! The life of an instance, from its first event to its end.

use tidings::{
    Message, MessageId,
    saga::{Condition, Trigger, Verdict},
};

use crate::{fulfilment::*, world::World};

#[test]
fn an_order_that_goes_well_is_shipped() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 0 }));
    assert_eq!(world.sent(), ["payments.take 7"]);
    world.publish(PaymentTaken { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(AwaitingStock));
    world.publish(StockReserved { order: 7 });
    assert_eq!(world.sent(), ["stock.reserve 7", "orders.ship 7"]);
    assert_eq!(world.condition(7), Condition::Running);
    world.publish(OrderShipped { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(Shipped));
    assert_eq!(world.condition(7), Condition::Completed);
}

#[test]
fn instances_know_nothing_of_each_other() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 1 });
    world.publish(OrderPlaced { order: 2 });
    world.publish(PaymentTaken { order: 2 });
    assert_eq!(world.state(1), Fulfilment::from(AwaitingPayment { reminders: 0 }));
    assert_eq!(world.state(2), Fulfilment::from(AwaitingStock));
    let keys: Vec<_> = world
        .sagas
        .list()
        .unwrap()
        .iter()
        .map(|one| (one.key.to_string(), one.state.clone()))
        .collect();
    let expected = [("1", "AwaitingPayment"), ("2", "AwaitingStock")];
    assert_eq!(keys, expected.map(|(key, state)| (key.to_owned(), state.to_owned())));
}

#[test]
fn the_history_says_what_has_happened() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(PaymentTaken { order: 7 });
    let history = world.sagas.history("7").unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!((history[0].revision, &history[0].from), (1, &None));
    assert_eq!((history[0].sent.len(), &*history[0].timers_set[0]), (1, "payment"));
    let paid = &history[1];
    assert_eq!(paid.from.as_deref(), Some("AwaitingPayment"));
    assert_eq!((&*paid.to, &*paid.sent[0]), ("AwaitingStock", "stock.reserve"));
    assert_eq!((&*paid.timers_cleared[0], paid.version), ("payment", 1));
    assert!(matches!(&paid.trigger, Trigger::Event { name, .. } if name == "payments.taken"));
}

/// A copy that the bus no longer knows as one: the same message, published again after another.
#[test]
fn g6_a_copy_of_a_message_changes_nothing() {
    let world = World::<Fulfilment>::new();
    let placed = |order: u8| {
        Message::new(OrderPlaced { order: order.into() }).id(MessageId::from_bytes([order; 16]))
    };
    let forgetful = tidings::Bus::builder()
        .runtime(world.sim.runtime())
        .storage(tidings::storage::MemoryStorage::new())
        .dedup_window(tidings::Window::last(1))
        .build()
        .unwrap();
    let sagas = forgetful.saga::<Fulfilment>().start().unwrap();
    for order in [7, 8, 7, 8, 7] {
        forgetful.publish(placed(order)).unwrap();
        world.settle();
    }
    let history = sagas.history("7").unwrap();
    let verdicts: Vec<_> = history.iter().map(|entry| entry.verdict).collect();
    assert_eq!(verdicts, [Verdict::Handled, Verdict::Duplicate, Verdict::Duplicate]);
    assert_eq!(sagas.get("7").unwrap().unwrap().compensations.len(), 1);
}

#[test]
fn an_instance_outlives_its_process() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    let world = world.restart::<Fulfilment>();
    assert_eq!(world.state(7), Fulfilment::from(AwaitingPayment { reminders: 0 }));
    world.publish(PaymentTaken { order: 7 });
    assert_eq!(world.state(7), Fulfilment::from(AwaitingStock));
}

#[test]
fn instances_run_in_several_lanes() {
    let world = World::<Fulfilment>::new();
    assert!(world.sagas.subscription().stop(crate::world::SECOND));
    let sagas = world.bus.saga::<Fulfilment>().lanes(4).start().unwrap();
    for order in 0..40 {
        world.publish(OrderPlaced { order });
        world.publish(PaymentTaken { order });
    }
    let states = sagas.status().unwrap().states;
    assert_eq!(states.get(&(1, "AwaitingStock".into())), Some(&40));
}

#[test]
fn a_saga_runs_on_a_volatile_bus() {
    let sim = tidings::testing::Simulator::new(1);
    let bus = tidings::Bus::builder().runtime(sim.runtime()).build().unwrap();
    let sagas = bus.saga::<Fulfilment>().start().unwrap();
    bus.publish(OrderPlaced { order: 7 }).unwrap();
    bus.publish(PaymentTaken { order: 7 }).unwrap();
    sim.advance(std::time::Duration::ZERO);
    assert_eq!(sagas.get("7").unwrap().unwrap().state, Fulfilment::from(AwaitingStock));
    assert_eq!(sagas.history("7").unwrap().len(), 2);
    assert_eq!(sagas.status().unwrap().instances.get(&Condition::Running), Some(&1));
}

#[test]
fn the_history_is_bounded() {
    let world = World::<Fulfilment>::new();
    world.publish(OrderPlaced { order: 7 });
    for _ in 0..250 {
        world.publish(OrderPlaced { order: 7 });
    }
    let history = world.sagas.history("7").unwrap();
    assert_eq!(history.len(), 100);
    assert_eq!((history[0].revision, history[99].revision), (152, 251));
}
