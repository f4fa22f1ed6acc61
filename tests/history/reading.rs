//! What is read, in which order, and what says that something cannot be.

use std::time::Duration;

use tidings::{AnyOf, Bus, CorrelationId, HistoryError, Message, Past, Position};

use crate::store::{Placed, PlacedLater, Shipped, Store, placed};

fn cents<'a>(pasts: impl IntoIterator<Item = &'a Past<Placed>>) -> Vec<u64> {
    pasts.into_iter().map(|past| past.cents).collect()
}

fn all(pasts: impl IntoIterator<Item = Result<Past<Placed>, HistoryError>>) -> Vec<Past<Placed>> {
    pasts.into_iter().collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_past_is_read_in_its_order_with_everything_that_is_known_of_it() {
    let bus = Store::new().open();
    let receipts: Vec<_> =
        (0..1500).map(|number| bus.publish(placed(number % 7, number)).unwrap()).collect();
    let pasts = all(bus.history().of::<Placed>());
    assert_eq!(cents(&pasts), (0..1500).collect::<Vec<_>>());
    for (past, receipt) in pasts.iter().zip(receipts) {
        assert_eq!((past.position(), past.id()), (receipt.position, receipt.id));
        assert_eq!(past.key().unwrap().as_str(), past.order.to_string());
    }
}

#[test]
fn filters_join_and_come_in_any_order() {
    let store = Store::new();
    let bus = store.open();
    for number in 0..600 {
        bus.publish(placed(number % 3, number)).unwrap();
        bus.publish(Shipped { order: number % 3 }).unwrap();
        store.sim.advance(Duration::from_secs(1));
    }
    let pasts = all(bus.history().of::<Placed>());
    let (from, to) = (pasts[100].position(), pasts[400].position());
    let (since, until) = (pasts[200].published_at(), pasts[300].published_at());
    let read = |history: tidings::History<Placed>| cents(&all(history));
    let expected = |wanted: std::ops::Range<u64>| -> Vec<u64> {
        wanted.filter(|number| number % 3 == 1).collect()
    };
    assert_eq!(read(bus.history().of::<Placed>().key(1)), expected(0..600));
    assert_eq!(read(bus.history().key(1).from(from).to(to).of()), expected(100..400));
    assert_eq!(read(bus.history().since(since).of().until(until).key(1)), expected(200..300));
    let both = bus.history().of::<Placed>().from(from).to(to).since(since).until(until).key(1);
    assert_eq!(read(both), expected(200..300));
    assert_eq!(read(bus.history().of::<Placed>().key("nobody")), [0_u64; 0]);
    assert_eq!(read(bus.history().of::<Placed>().from(to).to(from)), [0_u64; 0]);
}

#[test]
fn several_types_are_read_in_one_order() {
    let bus = Store::new().open();
    for order in 0..5 {
        bus.publish(placed(order, 1)).unwrap();
        bus.publish(Shipped { order }).unwrap();
    }
    let mut seen = Vec::new();
    for past in bus.history().of::<(Placed, Shipped)>() {
        let past = past.unwrap();
        if let Some(placed) = past.get::<Placed>() {
            seen.push(("placed", placed.order));
        }
        if let Some(shipped) = past.get::<Shipped>() {
            seen.push(("shipped", shipped.order));
        }
        let event: AnyOf<(Placed, Shipped)> = past.into_event();
        let event = event.into::<Placed>().err();
        assert!(event.is_none_or(|event| event.into::<Shipped>().is_ok()));
    }
    let expected: Vec<_> =
        (0..5).flat_map(|order| [("placed", order), ("shipped", order)]).collect();
    assert_eq!(seen, expected);
}

#[test]
fn without_a_type_every_event_comes_as_it_is_stored() {
    let bus = Store::new().open();
    bus.publish(placed(7, 50)).unwrap();
    bus.publish(Shipped { order: 7 }).unwrap();
    let pasts: Vec<_> = bus.history().into_iter().map(Result::unwrap).collect();
    let names: Vec<_> = pasts.iter().map(Past::name).collect();
    assert_eq!(names, ["orders.placed", "orders.shipped"]);
    assert_eq!(pasts[0].decode::<Placed>().unwrap(), placed(7, 50));
    let wrong = pasts[1].decode::<Placed>().unwrap_err().to_string();
    assert_eq!(wrong, "it is a `orders.shipped`, and no `orders.placed`");
}

#[test]
fn a_conversation_is_found_by_its_id() {
    let bus = Store::new().open();
    let first = bus.publish(placed(1, 1)).unwrap();
    bus.publish(placed(2, 2)).unwrap();
    bus.publish(Message::new(placed(3, 3)).correlation_id("req-7")).unwrap();
    let own = CorrelationId::Id(first.id);
    assert_eq!(cents(&all(bus.history().of::<Placed>().correlation(own))), [1]);
    assert_eq!(cents(&all(bus.history().of::<Placed>().correlation("req-7"))), [3]);
    let mut visited = Vec::new();
    let history = bus.history().of::<Placed>().correlation("req-7");
    history.each(|event, record| visited.push((event.cents, record.position.get()))).unwrap();
    assert_eq!(visited, [(3, 3)]);
}

#[test]
fn what_is_published_while_it_is_read_is_no_past() {
    let bus = Store::new().open();
    for number in 0..3 {
        bus.publish(placed(1, number)).unwrap();
    }
    let seen = bus.history().of::<Placed>().into_iter().map(|past| {
        bus.publish(placed(1, 99)).unwrap();
        past.unwrap().cents
    });
    assert_eq!(seen.collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn what_does_not_decode_is_named_and_the_rest_comes() {
    let store = Store::new();
    let bus = store.open();
    bus.publish(placed(1, 1)).unwrap();
    drop(bus);
    let bus = store.open();
    bus.publish(PlacedLater { order: 2 }).unwrap();
    drop(bus);
    let bus = store.open();
    bus.publish(placed(3, 3)).unwrap();

    let pasts: Vec<_> = bus.history().of::<Placed>().into_iter().collect();
    assert_eq!(cents(pasts.iter().filter_map(|past| past.as_ref().ok())), [1, 3]);
    let wrong = pasts[1].as_ref().unwrap_err().to_string();
    let expected = "the `orders.placed` at position 2 cannot be decoded: it has version 2, and this \
                    build knows version 1";
    assert_eq!(wrong, expected);

    let mut seen = Vec::new();
    let visited = bus.history().of::<Placed>().each(|event, _| seen.push(event.cents));
    assert!(
        matches!(visited, Err(HistoryError::Undecodable { position, .. }) if position.get() == 2)
    );
    let rest = bus.history().of::<Placed>().from(Position::new(3).unwrap());
    let end = rest.each(|event, _| seen.push(event.cents)).unwrap();
    assert_eq!((seen, end), (vec![1, 3], bus.end()));
}

#[test]
fn a_volatile_bus_says_that_it_keeps_nothing() {
    let bus = Bus::volatile();
    bus.publish(placed(1, 1)).unwrap();
    let mut pasts = bus.history().of::<Placed>().into_iter();
    assert!(matches!(pasts.next(), Some(Err(HistoryError::Volatile))));
    assert!(pasts.next().is_none());
    let visited = bus.history().of::<Placed>().each(|_, _| ());
    assert!(matches!(visited, Err(HistoryError::Volatile)));
}
